"""What a state and a cause of ours is called in Slurm's words. Pure table."""

from typing import Final, NamedTuple

from longshore.records import Task


class Said(NamedTuple):
    """A job's state: its long and its compact name."""

    long: str
    short: str


PENDING: Final = Said("PENDING", "PD")
RUNNING: Final = Said("RUNNING", "R")
SUSPENDED: Final = Said("SUSPENDED", "S")
COMPLETED: Final = Said("COMPLETED", "CD")
CANCELLED: Final = Said("CANCELLED", "CA")
FAILED: Final = Said("FAILED", "F")
TIMEOUT: Final = Said("TIMEOUT", "TO")
OUT_OF_MEMORY: Final = Said("OUT_OF_MEMORY", "OOM")
NODE_FAIL: Final = Said("NODE_FAIL", "NF")
PREEMPTED: Final = Said("PREEMPTED", "PR")
ALL: Final = (
    PENDING, RUNNING, SUSPENDED, COMPLETED, CANCELLED, FAILED, TIMEOUT, OUT_OF_MEMORY, NODE_FAIL, PREEMPTED,
)  # fmt: skip
#: States that a program may ask for and no job here is ever in.
ELSEWHERE: Final = {
    "CONFIGURING": "CF", "COMPLETING": "CG", "BOOT_FAIL": "BF", "DEADLINE": "DL", "REQUEUED": "RQ", "RESIZING": "RS",
    "REVOKED": "RV", "SPECIAL_EXIT": "SE", "STOPPED": "ST", "STAGE_OUT": "SO", "REQUEUE_HOLD": "RH", "SIGNALING": "SI",
}  # fmt: skip

_OPEN: Final = {
    "waiting": PENDING, "queued": PENDING, "assigned": PENDING, "staging": PENDING, "running": RUNNING,
    "delivering": RUNNING, "succeeded": COMPLETED, "cancelled": CANCELLED,
}  # fmt: skip
#: Of failed tasks, by their cause; any other is FAILED.
_FAILED: Final = {
    "oom": OUT_OF_MEMORY, "timeout-running": TIMEOUT, "timeout-staging": TIMEOUT, "timeout-delivering": TIMEOUT,
    "worker-lost": NODE_FAIL, "host": NODE_FAIL, "launch": NODE_FAIL, "image": NODE_FAIL, "evicted": PREEMPTED,
    "operator": CANCELLED, "requirement": CANCELLED,
}  # fmt: skip
#: Which of our states a state of Slurm's is made of: what the api is asked for.
OURS: Final[dict[Said, tuple[str, ...]]] = {
    PENDING: ("waiting", "queued", "assigned", "staging"), RUNNING: ("running", "delivering"), SUSPENDED: ("running",),
    COMPLETED: ("succeeded",), CANCELLED: ("cancelled", "failed"),
    **dict.fromkeys((FAILED, TIMEOUT, OUT_OF_MEMORY, NODE_FAIL, PREEMPTED), ("failed",)),
}  # fmt: skip


def said(task: Task) -> Said:
    """The state of a task."""
    if task.state == "failed":
        return _FAILED.get(task.cause or "", FAILED)
    if task.state == "running" and task.paused:
        return SUSPENDED
    return _OPEN[task.state]


#: Why a job failed, in words that PSI/J knows: it takes any other for an error of ours.
_ENDED: Final = {
    FAILED: "NonZeroExitCode", TIMEOUT: "TimeLimit", OUT_OF_MEMORY: "NonZeroExitCode", NODE_FAIL: "NodeDown",
    PREEMPTED: "SystemFailure",
}  # fmt: skip


def wanted(words: list[str]) -> frozenset[Said] | None:
    """The states that `-t` names, None for all; `ValueError` shows a word that is no state."""
    found = set()
    for word in (word.upper() for word in words):
        if word == "ALL":
            return None
        known = [one for one in ALL if word in one]
        if not known and word not in ELSEWHERE and word not in ELSEWHERE.values():
            raise ValueError(word)
        found.update(known)
    return frozenset(found)


def reason(task: Task) -> str:
    """Why it is not running, or ended, as one word of squeue(1)."""
    state = said(task)
    if state is PENDING:
        if task.paused:
            return "JobHeldUser"
        return "Dependency" if task.state == "waiting" else "Resources" if task.state == "queued" else "Prolog"
    if state is CANCELLED:
        return "DependencyNeverSatisfied" if task.cause == "requirement" else "None"
    return _ENDED.get(state, "None")


def exit_code(task: Task) -> str:
    """`code:signal` as sacct shows it."""
    if task.exit_code is None:
        return "0:15" if said(task) is CANCELLED and task.started_at else "0:0" if said(task) in _FINE else "1:0"
    if task.exit_code > 128:
        return f"0:{task.exit_code - 128}"
    return f"{task.exit_code}:0"


_FINE: Final = frozenset({PENDING, RUNNING, SUSPENDED, COMPLETED, CANCELLED})
