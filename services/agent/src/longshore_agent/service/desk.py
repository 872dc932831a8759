"""What all parts of the running agent share: its attempts, journal and directories, and how an attempt is concluded.

What must not enter: sockets, tasks of single attempts (lanes and transfers have them).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from longshore_agent.adapters import outputs
from longshore_agent.adapters.journal import AnyRecord, Exited, Journal
from longshore_agent.adapters.opened import Opened
from longshore_agent.adapters.workdirs import Place, WorkDirs
from longshore_agent.core import kept
from longshore_agent.core.attempts import Attempt, Attempts, changed
from longshore_agent.core.contract import Host
from longshore_agent.core.verdict import Exit, judged
from longshore_common import logs
from longshore_common.clock import Clock
from longshore_common.errors import BadInput
from longshore_common.events import Ended, Order
from longshore_common.ids import AttemptId
from longshore_common.model import OWN_CAUSES, Output

log = logs.get_logger()


async def _nobody_listens() -> None:
    """What was reported is as good as said."""


class _Left(NamedTuple):
    """A directory that an attempt left, and whether it held resources."""

    place: str
    attempt: AttemptId
    note: bytes
    resources: bool


def _no_secrets(order: Order) -> dict[str, str]:
    raise BadInput(f"this worker holds no secrets, such as {order.spec.secrets[0]}")


#: Ended attempts whose small outputs can still be asked for live, until the read model has them.
REMEMBERED = 512


class Desk:
    """One per agent. `wake_reports` and `wake_turn` are set by the parts that listen."""

    def __init__(self, host: Host, journal: Journal, dirs: WorkDirs, attempts: Attempts, clock: Clock) -> None:
        self.host, self.journal, self.dirs, self.attempts, self.clock = host, journal, dirs, attempts, clock
        self.wake_reports: Callable[[], None] = lambda: None
        self.said: Callable[[], Awaitable[None]] = _nobody_listens
        self.turn: Callable[[], None] = lambda: None
        self.deliver: Callable[[Attempt], None] = lambda _: None
        self.recent: OrderedDict[str, tuple[Output | None, Output | None]] = OrderedDict()
        self.full = False  # the disk refused the journal
        self.overdrawn: dict[AttemptId, str] = {}  # who was killed for taking more than it asked for, and why
        self.secrets: Callable[[Order], dict[str, str]] = _no_secrets
        self.credentials: Callable[[Order], dict[str, str]] = _no_secrets
        self.opened = Opened(dirs.base.parent)
        self.release: Callable[[AttemptId], None] = lambda _: None
        self._turning = False
        self._left: list[_Left] = []

    def turn_soon(self) -> None:
        """See what to do next, once, after what is happening now."""
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._turning = False
        self.turn()

    def note(self, *records: AnyRecord) -> bool:
        """Journal these before acting on them; False if the disk refused, and then nothing may be acted on."""
        try:
            self.journal.write(*records)
        except OSError as err:
            if not self.full:
                log.error("journal-refused", reason=f"{err.strerror}: free space below {self.dirs.base}")
            self.full = True
            return False
        if self.full:
            log.info("journal-works-again")
        self.full = False
        return True

    def place(self, attempt: Attempt) -> Place:
        """Where this attempt works."""
        return self.dirs.named(attempt.place or f"a-{attempt.id}")

    def over(self, attempt: Attempt, end: Exit) -> None:
        """A process is over: the attempt ends at once, or what it left is delivered and stored first."""
        stdout: Output | None = outputs.EMPTY
        stderr: Output | None = outputs.EMPTY
        if attempt.place:
            place = self.place(attempt)
            stdout, stderr = outputs.small(place.stdout), outputs.small(place.stderr)
        result = self._judged(attempt, end, stdout, stderr)
        to_deliver = (end.code is not None or bool(attempt.steps)) and self.leaves(attempt, result)
        if stdout is not None and stderr is not None and not to_deliver:
            self.end(attempt, result)
            return
        self.attempts.exited(attempt, result)
        self.note(Exited(result))  # refused: the spawner is not told, and keeps it
        self.deliver(attempt)

    def _judged(self, attempt: Attempt, end: Exit, stdout: Output | None, stderr: Output | None) -> Ended:
        """What it came to; one that took more disk than it asked for would do so anywhere."""
        why = self.overdrawn.pop(attempt.id, "") if self.overdrawn else ""
        if not (why and end.code):
            return judged(attempt, end, stdout, stderr)
        result = judged(attempt, end._replace(cause="disk-full", reason=why), stdout, stderr)
        return changed(result, definite=result.cause == "disk-full")

    def end(self, attempt: Attempt, result: Ended) -> None:
        """It holds nothing here any more: report it, and use its directories again or remove them."""
        if attempt.id not in self.attempts.held:
            return
        keep = result.cause in OWN_CAUSES and bool(attempt.place) and self.dirs.worth_keeping(self.place(attempt))
        if keep:
            result = changed(result, kept=True)
        self.attempts.end(attempt, result)
        if result.outcome == "failed":
            task = attempt.id[: attempt.id.rindex(".")]
            ids = {"worker": self.host.worker, "task": task, "attempt": attempt.id}
            log.warning("attempt-failed", **ids, cause=result.cause, reason=result.reason)
        self.leave(attempt, kept.note(attempt, result, self.clock.now()) if keep else b"")
        if (result.stdout and result.stdout.size) or (result.stderr and result.stderr.size):
            self.recent[attempt.id] = (result.stdout, result.stderr)
            if len(self.recent) > REMEMBERED:
                self.recent.popitem(last=False)
        self.wake_reports()

    def leave(self, attempt: Attempt, note: bytes = b"") -> None:
        """Nobody needs the directories of this attempt any more, once the journal knows that it ended.

        With a `note` they are kept aside for who wants to know why it failed.
        """
        if attempt.place:
            self._left.append(_Left(attempt.place, attempt.id, note, bool(attempt.order.spec.resources)))
            attempt.place = ""

    def tidy(self) -> None:
        """The journal knows of every end so far: what they left may be used again or removed.

        Not before: after a crash the end is told again by the spawner, and its output must still be there, and nobody else's.
        """
        left, self._left = self._left, []
        for one in left:
            place = self.dirs.named(one.place)
            if one.note:
                self.dirs.keep(place, one.attempt, one.note)
            else:
                self.dirs.give_back(place)
            if one.resources:
                self.release(one.attempt)

    @staticmethod
    def leaves(attempt: Attempt, result: Ended) -> bool:
        """Whether it has something for storage: outputs, or a checkpoint if it was interrupted."""
        spec = attempt.order.spec
        if result.outcome == "cancelled" or (spec.output is None and not spec.collects):
            return False
        return result.cause != "evicted" or bool(spec.checkpoint)
