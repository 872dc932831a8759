"""From how a process ended to what is reported of its attempt.

What must not enter: reading files, the outputs themselves.
"""

import signal
from typing import Literal, NamedTuple

from longshore_agent.core.attempts import EVICTED, Attempt, changed
from longshore_common.events import Ended
from longshore_common.model import Cause, Output, Usage


class Exit(NamedTuple):
    """How a process or container ended: `code` is 128+n after signal n, None if it never ran. Sizes in bytes.

    `cause` is given where something else than the command itself ended it.
    """

    code: int | None
    started_at: float | None
    ended_at: float
    peak_memory: int = 0
    cpu_seconds: float = 0
    read_bytes: int = 0
    written_bytes: int = 0
    cause: Cause | None = None
    reason: str = ""
    image: str = ""


def judged(attempt: Attempt, end: Exit, stdout: Output | None, stderr: Output | None) -> Ended:
    """The result of an attempt whose process is over; outputs that are None are still to be stored."""
    usage = Usage(
        *in_order(Instants(attempt.staging_at, end.started_at, end.ended_at, end.ended_at)),
        end.peak_memory,
        end.cpu_seconds,
        end.read_bytes,
        end.written_bytes,
        attempt.staged_bytes,
    )
    outcome, cause, reason = _meaning(attempt, end)
    code = 0 if outcome == "succeeded" else end.code
    return Ended(attempt.id, outcome, code, cause, reason, usage, stdout, stderr, image=end.image, steps=attempt.steps)


def _meaning(attempt: Attempt, end: Exit) -> tuple[Literal["succeeded", "failed", "cancelled"], Cause | None, str]:
    """Who asked for the end comes before what the end looked like: a task may catch the signal and leave with any code."""
    if attempt.wanted in ("stop", "kill"):
        return "cancelled", "operator", said(end.code)
    if attempt.wanted == "checkpoint":
        return "failed", "evicted", EVICTED
    if end.cause is not None:
        return "failed", end.cause, end.reason
    if end.code == 0:
        return "succeeded", None, ""
    return "failed", "exit", end.reason or said(end.code)


def failed(attempt: Attempt, cause: Cause, reason: str, now: float) -> Ended:
    """The result of an attempt that failed outside its process; what its process came to is kept."""
    before = attempt.result
    if before is None:
        instants = in_order(Instants(attempt.staging_at, attempt.started_at, None, now))
        usage = Usage(*instants, staged_bytes=attempt.staged_bytes)
        return Ended(attempt.id, "failed", None, cause, reason, usage, steps=attempt.steps)
    stdout, stderr = before.stdout, before.stderr
    return Ended(
        attempt.id, "failed", before.exit_code, cause, reason, before.usage, stdout, stderr, image=before.image,
        steps=before.steps, collected=before.collected,
    )  # fmt: skip


def lacks_secret(attempt: Attempt, why: Exception, now: float) -> Ended:
    """The result of an attempt that cannot start because a secret cannot be had here, or (`definite`) anywhere."""
    return changed(failed(attempt, "launch", str(why), now), definite=bool(getattr(why, "definite", False)))


class Instants(NamedTuple):
    """When an attempt entered its phases, as in `Usage`; None where it did not."""

    staging: float | None
    started: float | None
    ended: float | None
    finished: float | None


def in_order(instants: Instants) -> Instants:
    """None is later than one after it: the clock may have been set back between two, and the last is right."""
    latest = float("inf")
    ordered: list[float | None] = []
    for at in reversed(instants):
        latest = latest if at is None else min(latest, at)
        ordered.insert(0, None if at is None else latest)
    return Instants(*ordered)


def signal_number(name: str) -> int | None:
    """The number of SIGUSR1, usr1 or 10; None if there is no such signal."""
    if name.isascii() and name.isdigit():
        return int(name) if int(name) in set(signal.Signals) else None
    text = name.upper()
    found = signal.Signals.__members__.get(text if text.startswith("SIG") else f"SIG{text}")
    return None if found is None else int(found)


def stop_signal(name: str) -> int:
    """The number of the signal that asks a task to stop; SIGTERM if it names none, or none that this host knows."""
    return (signal_number(name) if name else None) or int(signal.SIGTERM)


def of_steps(attempt: Attempt, end: Exit) -> str:
    """Why a task of steps failed, with the number of the step in which it did; empty if it did not."""
    reason = end.reason or (said(end.code) if end.code else "")
    number, all_of_them = len(attempt.steps), len(attempt.order.spec.steps)
    return f"step {number} of {all_of_them}: {reason}" if reason and number and all_of_them > 1 else reason


def said(code: int | None) -> str:
    """One line about an exit code."""
    if code is None:
        return "it did not start"
    if code > 128:
        try:
            return f"exit code {code}: {signal.Signals(code - 128).name}"
        except ValueError:
            pass
    return f"exit code {code}"
