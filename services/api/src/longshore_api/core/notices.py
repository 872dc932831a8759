"""What users want to be told of, and which of it has come about: pure, from what the read model says of batches.

A notice has an id that follows from what it tells, so the same is told once however often it is seen. What must not enter:
sending, SQL, the clock.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from longshore_api.core import archive
from longshore_api.core.memory import Memory
from longshore_common import events as e
from longshore_common.log import Recorded
from longshore_common.model import ON_WORKER, STATES, TERMINAL, Notification

#: The kind of the rows that are rules; their name is the rule's id.
RULE: Final = "notification"
#: Seconds for which a batch must have ended before it is told: who submits one task after another is told once.
SETTLED: Final = 3.0
#: Seconds after which what happened is no news, though nobody was told: notices are remembered for longer.
NEWS: Final = 7 * 86_400.0

_encode: Final = msgspec.json.Encoder().encode


class Rule(Struct, frozen=True):
    """A notification as it was set: whose it is, and since when (Unix seconds)."""

    id: str
    user: str
    rule: Notification
    at: float = 0


class BatchNow(NamedTuple):
    """A batch as it is: tasks by state, whose they are, how often it was submitted to, and when what happened last.

    `idle`: since when it has tasks and none on a worker, None if that is not so. `ran`: seconds that its attempts ran.
    """

    name: str
    users: tuple[str, ...]
    submissions: int
    paused: bool
    counts: Mapping[str, int]
    ended_at: float | None
    idle: float | None = None
    ran: float = 0.0

    @property
    def open(self) -> int:
        """Tasks that have not ended."""
        return sum(self.counts[state] for state in STATES if state not in TERMINAL)

    @property
    def waits(self) -> bool:
        """Whether it has tasks that could run, and none does."""
        return not self.paused and self.counts["queued"] > 0 and not any(self.counts[state] for state in ON_WORKER)


class Notice(NamedTuple):
    """Something to be told by one way (`webhook` or `mail`) to one target."""

    id: str
    rule: str
    way: str
    target: str
    body: str


def rule_set(memory: Memory, record: Recorded, event: e.NotificationSet) -> None:
    """This rule holds from here on."""
    value = _encode(Rule(event.id, archive.clean(event.user), event.rule, record.at)).decode()
    _keep(memory, record, event.id, value)


def rule_removed(memory: Memory, record: Recorded, event: e.NotificationRemoved) -> None:
    """It holds no more."""
    _keep(memory, record, event.id, "")


def _keep(memory: Memory, record: Recorded, name: str, value: str) -> None:
    what = (RULE, archive.clean(name))
    memory.changes.governing[what] = (*what, archive.clean(value), record.seq, record.at, 0)


_rule: Final = msgspec.json.Decoder(Rule).decode


def rules(values: Iterable[str]) -> list[Rule]:
    """The rules that hold, of the values of their rows."""
    return [_rule(value) for value in values if value]


def due(rule: Rule, batch: BatchNow, now: float) -> Iterator[Notice]:
    """What this rule has to tell of this batch now. Whoever sees it again sees the same ids."""
    if rule.user not in batch.users or not fnmatchcase(batch.name, rule.rule.batch):
        return
    for occasion in rule.rule.occasions:
        mark = _MARKS[occasion](rule, batch, now) if occasion in _MARKS else ""
        if mark:
            yield from notices(rule, occasion, mark, _said(batch, now))


def _finished(rule: Rule, batch: BatchNow, now: float) -> str:
    """All its tasks have ended, and did so after the rule was set."""
    at = batch.ended_at
    if batch.open or at is None or at <= rule.at or not SETTLED <= now - at < NEWS:
        return ""
    return f"{at:.3f}"


def _failing(rule: Rule, batch: BatchNow, now: float) -> str:
    """As many tasks failed as the rule says; told once until more is submitted."""
    at = batch.ended_at
    if batch.counts["failed"] < max(1, rule.rule.failing) or at is None or at <= rule.at or now - at >= NEWS:
        return ""
    return str(batch.submissions)


def _stuck(rule: Rule, batch: BatchNow, now: float) -> str:
    """It has waited as long as the rule says."""
    since = batch.idle
    if since is None or now - max(since, rule.at) < rule.rule.stuck:
        return ""
    return f"{since:.3f}"


def _budget(rule: Rule, batch: BatchNow, now: float) -> str:
    """Its attempts ran for as long as the rule says; told once."""
    return f"{rule.rule.budget:.0f}" if 0 < rule.rule.budget <= batch.ran else ""


_MARKS: Final = {"finished": _finished, "failing": _failing, "stuck": _stuck, "budget": _budget}


def notices(rule: Rule, occasion: str, mark: str, said: dict[str, Any]) -> Iterator[Notice]:
    """One for each way in which the rule wants to be told."""
    for way, target in (("webhook", rule.rule.webhook), ("mail", rule.rule.mail)):
        if target:
            words = f"{rule.id}\0{way}\0{said.get('batch', '')}\0{occasion}\0{mark}"
            ident = hashlib.blake2b(words.encode(), digest_size=12).hexdigest()
            body = {"id": ident, "rule": rule.id, "user": rule.user, "occasion": occasion, **said}
            body["text"] = told(occasion, said)
            yield Notice(ident, rule.id, way, target, _encode(body).decode())


def _said(batch: BatchNow, now: float) -> dict[str, Any]:
    counts = {state: count for state, count in batch.counts.items() if count}
    at = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
    return {
        "batch": batch.name, "at": at, "tasks": sum(counts.values()), "states": counts, "ran_seconds": round(batch.ran, 3),
    }  # fmt: skip


def told(occasion: str, said: Mapping[str, Any]) -> str:
    """The same in a sentence."""
    if occasion == "test":
        return "This is a test: notifications reach you."
    counts = ", ".join(f"{count} {state}" for state, count in said["states"].items())
    what = {
        "finished": "has finished", "failing": "has failed tasks", "stuck": "waits, and nothing of it runs",
        "budget": f"has used up its budget, its tasks ran {said.get('ran_seconds', 0) / 3600:.1f} hours",
    }[occasion]  # fmt: skip
    fix = f" See `longshore explain {said['batch']}`." if occasion == "stuck" else ""
    return f"Batch {said['batch']} {what}: {counts}.{fix}"
