"""Who may wish what, as far as the api knows: refused here early, and by the dispatcher in any case.

What must not enter: how somebody is recognised (see `doors`), what a wish does.
"""

from typing import Final

from longshore_api.adapters.doors import House, Visitor
from longshore_common import events as e
from longshore_common.errors import NotFound, Refused, Unreachable
from longshore_common.model import UserRole

#: Wishes about what governs all, and about hosts; any other is a user's.
ADMINS: Final = frozenset({
    e.WorkerPauseRequested, e.WorkerResumeRequested, e.WorkerResizeRequested, e.WorkerCareRequested,
    e.WorkerMoveRequested, e.ShareRequested, e.PolicyRequested, e.RemotesShared,
})  # fmt: skip
#: Wishes about a batch as a whole: all of it must be one's own.
_OF_BATCH: Final = (e.BatchPauseRequested, e.BatchResumeRequested, e.BatchRetentionRequested)
#: Owners named in a refusal.
_SHOWN: Final = 3


def role_for(event: e.Event) -> UserRole:
    """What one must be for such a wish."""
    return "admin" if type(event) in ADMINS else "user"


async def permitted(house: House, visitor: Visitor, event: e.Event) -> None:
    """`Refused` unless they may wish it: users what concerns their own tasks, admins all.

    Whose tasks they are is known if PostgreSQL answers; if not, the dispatcher alone judges.
    """
    if not visitor.may(role := role_for(event)):
        raise Refused(f"this needs the role {role}, yours is {visitor.role}: ask an admin of this stack")
    if visitor.role == "admin":
        return
    try:
        owners = await _owners(house, event)
    except (Unreachable, NotFound):
        return
    if others := sorted(owners - {visitor.user}):
        shown = ", ".join(others[:_SHOWN]) + ("…" if len(others) > _SHOWN else "")
        raise Refused(f"that belongs to {shown} as well as or instead of you: name your own tasks, or ask an admin")


async def _owners(house: House, event: e.Event) -> set[str]:
    if isinstance(event, e.UndoRequested):
        return set((await house.reader.authors([event.request])).values()) if event.request else set()
    if isinstance(event, e.TasksSubmitted | e.SubmissionPartSent):
        return set()
    found: set[str] = set()
    if tasks := getattr(event, "tasks", ()):
        found = await house.reader.owners({run.submission for run in tasks})
    if isinstance(event, _OF_BATCH):  # other wishes about a batch are about one's own tasks in it
        found |= set((await house.reader.batch(event.batch))["users"])
    return found
