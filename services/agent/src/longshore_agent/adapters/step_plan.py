"""Bare steps: the plan that their runner follows, and what it noted of their ends.

What must not enter: starting it, what the ends mean.
"""

import os
import pwd
import sys
from typing import Final

import msgspec

from longshore_agent.adapters import step_runner
from longshore_agent.adapters.workdirs import Place
from longshore_agent.core.contract import INSIDE
from longshore_agent.core.verdict import stop_signal
from longshore_common import inside
from longshore_common.damage import DAMAGED
from longshore_common.model import StepEnd, TaskSpec

_PLAN: Final = "steps.json"
_ENDED: Final = "steps.ended"
_line: Final = msgspec.json.Decoder(StepEnd).decode


def argv(place: Place) -> list[str]:
    """What the spawner starts: the runner, with the plan in this place."""
    return [sys.executable, "-I", "-S", step_runner.__file__, f"{place.root}/{_PLAN}"]


def write(place: Place, spec: TaskSpec) -> None:
    """The plan, for nobody else to read. `OSError`."""
    steps = [
        {
            "command": step.command, "env": step.env, "ignore_error": step.ignore_error,
            **{name: _here(place, getattr(step, name)) for name in ("workdir", "stdin", "stdout", "stderr")},
        }
        for step in spec.steps
    ]  # fmt: skip
    ended = f"{place.root}/{_ENDED}"
    plan = {
        "steps": steps, "ended": ended, "said": (place.stdout, place.stderr), "stop_signal": stop_signal(spec.stop_signal),
        "user": _user(spec),
    }  # fmt: skip
    for path, data in ((ended, b""), (f"{place.root}/{_PLAN}", msgspec.json.encode(plan))):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data)


def ends(place: Place) -> tuple[StepEnd, ...]:
    """How its steps ended, as far as they did; a torn last line is none."""
    found: list[StepEnd] = []
    try:
        with open(f"{place.root}/{_ENDED}", "rb") as file:
            for line in file:
                found.append(_line(line))
    except (OSError, *DAMAGED):
        pass
    return tuple(found)


def _user(spec: TaskSpec) -> tuple[int | None, int | None]:
    """A user without a group gets his own."""
    if spec.uid is None or spec.gid is not None:
        return spec.uid, spec.gid
    try:
        return spec.uid, pwd.getpwuid(spec.uid).pw_gid
    except KeyError:
        return spec.uid, spec.uid


def _here(place: Place, path: str) -> str:
    """A path that a step names, on this host."""
    if not path:
        return ""
    path = inside.clean(path)
    for known, here in zip(INSIDE, place.places, strict=True):
        if inside.below(path, known):
            return here + path.removeprefix(known)
    raise OSError(2, f"{path} is in none of the task's folders")
