"""Secrets of users: which workers were given them, and what is said of those that were not.

What a worker holds it says itself when it joins, so that what it cannot open is not counted on. What must not enter: what is
sealed in the boxes, which nobody here can open.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from longshore_common import confidential
from longshore_common import events as e
from longshore_common.log import Recorded
from longshore_dispatcher.core.content import Need
from longshore_dispatcher.core.state import State, Submission, Wish, Worker

Decision = tuple[e.Event, str]


def given(state: State, record: Recorded, event: e.SecretGiven) -> None:
    """The worker it is addressed to has it from here on, or forgets it."""
    key, worker = confidential.key(event.owner, event.name), record.subject.split(".")[2]
    if event.box:
        state.secrets.setdefault(key, {})[worker] = None
    elif (holders := state.secrets.get(key)) is not None:
        holders.pop(worker, None)
        if not holders:
            del state.secrets[key]
    if not event.more:
        state.wishes.pop(event.request, None)


def answers(state: State, wish: Wish, event: e.SecretShared) -> Iterator[Decision]:
    """Its box to each worker, or the order to forget it; all but the last leave the wish open."""
    if fault := confidential.fault(event.name):
        yield e.RequestRefused(request=wish.seq, reason=fault), ""
        return
    boxes = {str(box.worker): box.box for box in event.boxes if box.worker in state.workers}
    unknown = [str(box.worker) for box in event.boxes if box.worker not in state.workers]
    if not event.boxes:
        boxes = dict.fromkeys(state.secrets.get(confidential.key(wish.user, event.name), {}), "")
    for k, (worker, box) in enumerate(boxes.items(), 1):
        more = k < len(boxes)
        yield e.SecretGiven(owner=wish.user, name=event.name, box=box, request=wish.seq, more=more), worker
    if unknown:
        reason = f"no worker is called {', '.join(unknown)}; known are {', '.join(state.workers) or 'none'}"
        yield e.RequestRefused(request=wish.seq, reason=reason), ""
    elif not boxes:
        reason = f"{wish.user} has no secret {event.name}: see `longshore secret list`"
        yield e.RequestRefused(request=wish.seq, reason=reason), ""


def unknown(state: State, sub: Submission) -> str:
    """Why a submission names secrets that its user does not have, "" if it names none such."""
    named = {key for lot in sub.lots for key in lot.need.secrets}
    if missing := sorted(_names(key for key in named if key not in state.secrets)):
        names = ", ".join(missing)
        return f"{sub.user} has no secret {names}: `longshore secret set {missing[0]}`, and submit again"
    return ""


def lacking(worker: Worker, need: Need) -> list[str]:
    """The secrets that the worker does not hold, as `owner/name`."""
    return [key for key in need.secrets if key not in worker.facts.secrets] if need.secrets else []


class Lack(NamedTuple):
    """What is said of one worker and of several that lack secrets, and what is to be done; `{names}` stands for them."""

    one: str
    several: str
    fix: str


def lack(state: State, worker: Worker, missing: list[str]) -> Lack:
    """Whether nobody has these, this worker was not given them, or has not taken them."""
    what = said(missing)
    if lost := [key for key in missing if key not in state.secrets]:
        return Lack(f"lacks the {what}", f"lack the {what}", f"longshore secret set {_names(lost)[0]}")
    if absent := [key for key in missing if worker.name not in state.secrets[key]]:
        fix = f"longshore secret share {_names(absent)[0]}, for those that lack it: {{names}}"
        return Lack(f"lacks the {what}", f"lack the {what}", fix)
    fix = "see the log of the agents of {names}: they were given it, and cannot open it or have not read it yet"
    return Lack(f"has not taken the {what}", f"have not taken the {what}", fix)


def said(missing: list[str]) -> str:
    """Their names, in a sentence."""
    return f"secret{'s' if len(missing) > 1 else ''} {', '.join(_names(missing))}"


def _names(keys: Iterable[str]) -> list[str]:
    return [key.partition("/")[2] for key in keys]
