"""How often a task is tried again after which cause, and how long it waits for it: built in, by policy, by its own spec.

The spec's word goes before the operator's, the operator's before what is built in. What must not enter: verdicts.
"""

from typing import Final, get_args

from longshore_common.model import FINAL_CAUSES, OWN_CAUSES, Cause, Policy, TaskSpec

#: Attempts again after trouble that is not the task's own, by cause; others have `TROUBLE`. What the same words always
#: bring about again (an input that is not there, an unknown image, a program that cannot be started) is not tried long,
#: nor is what costs the whole run again: an agent waits itself for storage that is only away.
TROUBLE: Final = 10
TROUBLE_BY: Final[dict[Cause, int]] = {
    "stage-in": 3,
    "image": 3,
    "launch": 2,
    "timeout-staging": 3,
    "stage-out": 3,
}
#: Causes that lost the attempt with its worker, and attempts again after them.
LOST: Final = frozenset[Cause]({"worker-lost", "evicted"})
LOSSES: Final = 100
#: Seconds before a task's own second retry (then doubled, the first is at once), and the longest.
OWN_WAIT, OWN_LONGEST = 0.25, 10.0
#: The causes that may be named where budgets are given, and the policy's name for all it does not name.
CAUSES: Final = frozenset[str](get_args(Cause)) - FINAL_CAUSES
ANY_OTHER: Final = "*"
#: Seconds that a task's own back-off may begin with.
MOST_BACKOFF: Final = 86_400.0
#: A wait is doubled so often at most.
_DOUBLED: Final = 60


def most(policy: Policy, spec: TaskSpec, cause: Cause) -> int:
    """How many attempts again this cause may cost the task."""
    if (own := spec.retry_on.get(cause)) is not None:
        return own
    if cause in OWN_CAUSES:
        return spec.retries
    if cause in LOST:
        return policy.trouble.get(cause, LOSSES)
    return policy.trouble.get(cause, policy.trouble.get(ANY_OTHER, TROUBLE_BY.get(cause, TROUBLE)))


def wait(policy: Policy, spec: TaskSpec, cause: Cause, spent: int) -> float:
    """Seconds before the next attempt, after `spent` retries of this kind."""
    doubled: int = 2 ** min(spent, _DOUBLED)
    if cause in LOST:
        return 0.0
    if spec.backoff:
        return min(spec.backoff * doubled, max(spec.backoff, policy.longest_wait))
    if cause in OWN_CAUSES:
        return min(OWN_WAIT * doubled, OWN_LONGEST) if spent else 0.0
    return min(policy.first_wait * doubled, policy.longest_wait)


def final_exit(spec: TaskSpec, code: int | None) -> str:
    """Why this exit code is not tried again, "" if it may be."""
    if code is None:
        return ""
    if _among(spec.fail_exits, code):
        return f"exit code {code} is one of its fail_exits"
    if spec.retry_exits and not _among(spec.retry_exits, code):
        return f"exit code {code} is none of its retry_exits"
    return ""


def _among(spans: tuple[tuple[int, int], ...], code: int) -> bool:
    return any(lo <= code <= hi for lo, hi in spans)


def spec_fault(spec: TaskSpec) -> str:
    """What is wrong with what the spec says of retries, "" if nothing is."""
    if fault := _counts_fault("retry_on", spec.retry_on):
        return fault
    for name, spans in (("retry_exits", spec.retry_exits), ("fail_exits", spec.fail_exits)):
        for lo, hi in spans:
            if not 1 <= lo <= hi <= 255:
                return f"{name} {lo}-{hi} are no exit codes: give the lower before the higher, of 1 to 255"
    if spec.retry_exits and not (spec.retries or spec.retry_on.get("exit")):
        return "retry_exits says which exit codes are tried again, but nothing is: give retries too"
    if not 0 <= spec.backoff <= MOST_BACKOFF:
        return f"backoff {spec.backoff:g} is not usable: give 0 to {MOST_BACKOFF:g} seconds"
    return ""


def policy_fault(policy: Policy) -> str:
    """What is wrong with a policy's budgets, "" if nothing is."""
    own = sorted(OWN_CAUSES & policy.trouble.keys())
    if own:
        return f"trouble {own[0]!r} is the tasks' own doing: its retries are given where tasks are submitted"
    return _counts_fault("trouble", {k: v for k, v in policy.trouble.items() if k != ANY_OTHER})


def _counts_fault(name: str, counts: dict[str, int]) -> str:
    for cause, count in counts.items():
        if cause not in CAUSES:
            return f"{name} {cause[:40]!r} is no cause that is tried again: give one of {', '.join(sorted(CAUSES))}"
        if not 0 <= count < 1 << 31:
            return f"{name} {cause!r} is {count}: give 0 (never) or a positive number"
    return ""
