"""Who may ask for what: what a wish is refused for before anybody looks at what it says. The manual's table is of this.

Whose tasks are meant is asked where they are named (`named`). While the log knows of no user everybody may ask for
everything about workers and batches, and for their own tasks, as in logs from before there were users. What must not enter:
answers, changes of state.
"""

from typing import Final

from longshore_common import events as e
from longshore_common.authority import covers
from longshore_common.log import Recorded
from longshore_dispatcher.core.deeds import Deed
from longshore_dispatcher.core.state import State, Wish

#: What is about machines, shares or all of it: for admins.
_ADMINS: Final = (
    e.WorkerPauseRequested, e.WorkerResumeRequested, e.WorkerResizeRequested, e.WorkerCareRequested, e.WorkerMoveRequested,
    e.RemotesShared, e.ShareRequested, e.PolicyRequested,
)  # fmt: skip
_OF_BATCH: Final = (e.BatchPauseRequested, e.BatchResumeRequested, e.BatchRetentionRequested)
#: The same among what undoing does.
_DEEDS_OF_ADMINS: Final = (
    e.ShareSet, e.PolicySet, e.WorkerPaused, e.WorkerResumed, e.WorkerResized, e.WorkerMoved,
)  # fmt: skip
_DEEDS_OF_BATCH: Final = (e.BatchPaused, e.BatchResumed, e.BatchRetentionSet)


def told(state: State, _record: Recorded, event: e.UserAdded | e.UserChanged | e.UserRevoked) -> None:
    """What a user may from here on."""
    state.authority.take(event)


def fault(state: State, wish: Wish) -> str:
    """Why its author may not ask for this at all, "" if they may; in words that say whom to ask."""
    role = state.authority.role(wish.user)
    if role is None:
        return f"user {wish.user} is revoked"
    if not covers(role, "user"):
        return f"{wish.user} is a {role}, who reads: ask an admin for the role user"
    if role == "admin":
        return ""
    if isinstance(wish.event, _ADMINS):
        return f"this is for admins, and {wish.user} is a {role}: ask one of them"
    if isinstance(wish.event, _OF_BATCH):
        return _shared(state, wish.user, wish.event.batch)
    return ""


def undoing_fault(state: State, wish: Wish, deed: Deed) -> str:
    """Why its author may not undo this, "" if they may: what they may not ask for they may not bring about so either."""
    if not rules(state, wish.user) and deed.user != wish.user:
        return f"event {deed.request} belongs to {deed.user}"
    if state.authority.role(wish.user) == "admin":
        return ""
    for step in deed.steps:
        if isinstance(step.opposite, _DEEDS_OF_ADMINS):
            return f"this is for admins, and {wish.user} is none any more: ask one of them"
        if isinstance(step.opposite, _DEEDS_OF_BATCH) and (why := _shared(state, wish.user, step.opposite.batch)):
            return why
        for run in getattr(step.opposite, "tasks", ()):
            source = state.original(run.submission)
            known = state.submissions.get(source) or state.closed.get(source)
            if known is not None and known.user != wish.user:
                return f"{run} belongs to {known.user}"
    return ""


def rules(state: State, user: str) -> bool:
    """Whether this is an admin by name, to whom the tasks of others are as their own."""
    return state.authority.roles.get(user) == "admin"


def owns(state: State, wish: Wish, owner: str) -> bool:
    """Whether the wish's author may do with tasks of `owner` what these may."""
    return owner == wish.user or rules(state, wish.user)


def _shared(state: State, user: str, batch: str) -> str:
    """Why a whole batch is not this user's, "" if nobody else has tasks in it."""
    others = {sub.user for sub in state.submissions.values() if sub.batch == batch and sub.user != user and sub.size}
    others |= {closed.user for closed in state.closed.in_batch(batch) if closed.user != user and not closed.rejected}
    if not others:
        return ""
    named = ", ".join(sorted(others)[:3])
    return f"batch {batch!r} has tasks of {named} as well: name your own tasks, or ask an admin"
