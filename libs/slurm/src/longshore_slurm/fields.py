"""What can be said of a job, by the names that squeue and sacct have for it. A field is a function of a job and a view."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from longshore.reader import Reader
from longshore_common.clock import SystemClock
from longshore_common.errors import LongshoreError
from longshore_common.model import TaskSpec
from longshore_slurm import amounts, states
from longshore_slurm.jobs import Job


class _Spec(msgspec.Struct, frozen=True):
    spec: TaskSpec


class View:
    """A look at jobs now. Specs are fetched where a field needs them, once per submission."""

    def __init__(self, reader: Reader, unknown: str = "N/A") -> None:
        self._reader = reader
        self._specs: dict[int, TaskSpec | None] = {}
        self.unknown = unknown
        self.now = SystemClock().now()

    def spec(self, job: Job) -> TaskSpec | None:
        """All that its submission is to run; None if that is not known any more."""
        submission = job.task.submission
        if submission not in self._specs:
            self._specs[submission] = self._fetched(job.task.id)
        return self._specs[submission]

    def _fetched(self, task: str) -> TaskSpec | None:
        try:
            return msgspec.json.decode(self._reader.get(f"/tasks/{task}/spec").body, type=_Spec).spec
        except LongshoreError:
            return None

    def elapsed(self, job: Job) -> float:
        """Seconds that it ran, or has run so far."""
        began, ended = job.task.started_at, job.task.ended_at
        if began is None:
            return 0.0
        return max((ended.timestamp() if ended else self.now) - began.timestamp(), 0.0)

    def when(self, at: datetime | None) -> str:
        """Local time without its zone, as Slurm has it."""
        return at.astimezone().strftime("%Y-%m-%dT%H:%M:%S") if at else self.unknown


Field = Callable[[Job, View], str]


def _time_left(job: Job, view: View) -> str:
    limit = job.amount("limit")
    return amounts.shown_time(limit - view.elapsed(job)) if limit else "UNLIMITED"


def _time_limit(job: Job, _: View) -> str:
    limit = job.amount("limit")
    return amounts.shown_time(limit) if limit else "UNLIMITED"


def _cpus(job: Job) -> int:
    return max(job.amount("cpus"), 1)


def _cpu_seconds(job: Job, _: View) -> str:
    return amounts.shown_elapsed(job.task.cpu_seconds or 0)


def _peak(job: Job, _: View) -> str:
    return f"{(job.task.peak_memory or 0) // 1024}K" if job.task.peak_memory else ""


def _reason(job: Job, _: View) -> str:
    if job.task.state == "waiting" and job.fact("hold") and not job.fact("dependency"):
        return "JobHeldUser"
    return states.reason(job.task)


def _place(job: Job, view: View) -> str:
    return f"({_reason(job, view)})" if job.state is states.PENDING else job.task.worker or ""


def _from_shape(field: str) -> Field:
    def found(job: Job, _: View) -> str:
        return str(getattr(job.shape.files, field)) if job.shape else ""

    return found


def _fixed(text: str) -> Field:
    return lambda job, view: text


def _tres(job: Job, _: View) -> str:
    return f"gres/gpu:{gpus}" if (gpus := job.amount("gpus")) else "N/A"


FIELDS: Final[dict[str, Field]] = {
    "id": lambda job, view: job.id,
    "number": lambda job, view: str(job.number),
    "base": lambda job, view: str(job.task.submission),
    "element": lambda job, view: str(job.element) if job.array else "N/A",
    "name": lambda job, view: job.name,
    "user": lambda job, view: job.task.user,
    "uid": lambda job, view: job.fact("uid") or "0",
    "state": lambda job, view: job.state.long,
    "st": lambda job, view: job.state.short,
    "used": lambda job, view: amounts.shown_time(view.elapsed(job)),
    "elapsed": lambda job, view: amounts.shown_elapsed(view.elapsed(job)),
    "elapsedraw": lambda job, view: str(int(view.elapsed(job))),
    "limit": _time_limit,
    "left": _time_left,
    "nodes": _fixed("1"),
    "cpus": lambda job, view: str(_cpus(job)),
    "memory": lambda job, view: amounts.shown_memory(job.amount("memory")),
    "worker": lambda job, view: job.task.worker or "",
    "place": _place,
    "reason": _reason,
    "partition": lambda job, view: job.task.batch,
    "account": lambda job, view: job.fact("account") or "none",
    "qos": lambda job, view: job.fact("qos") or "normal",
    "start": lambda job, view: view.when(job.task.started_at),
    "end": lambda job, view: view.when(job.task.ended_at),
    "submit": lambda job, view: view.when(job.task.submitted_at),
    "workdir": _from_shape("directory"),
    "stdout": _from_shape("output"),
    "stderr": _from_shape("error"),
    "stdin": _from_shape("input"),
    "command": lambda job, view: " ".join(job.shape.arguments if job.shape else job.task.command),
    "priority": lambda job, view: str(job.task.priority),
    "comment": lambda job, view: job.fact("comment") or "(null)",
    "dependency": lambda job, view: job.fact("dependency") or "(null)",
    "nothing": _fixed("(null)"),
    "empty": _fixed(""),
    "tres": _tres,
    "exit": lambda job, view: states.exit_code(job.task),
    "cputime": lambda job, view: amounts.shown_elapsed(view.elapsed(job) * _cpus(job)),
    "cputimeraw": lambda job, view: str(int(view.elapsed(job) * _cpus(job))),
    "totalcpu": _cpu_seconds,
    "maxrss": _peak,
    "cluster": _fixed("longshore"),
    "ntasks": lambda job, view: job.fact("tasks") or "1",
}
