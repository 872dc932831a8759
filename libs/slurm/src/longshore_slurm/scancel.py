"""scancel: jobs shall not run, or stop, or get a signal."""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from longshore.filters import chunks
from longshore.reader import TaskFilters
from longshore_common.errors import BadInput, NotFound
from longshore_common.events import CancelRequested, SignalRequested
from longshore_common.ids import SubmissionId, TaskRange
from longshore_slurm import asked, jobs, states
from longshore_slurm.door import Door
from longshore_slurm.main import helped, told
from longshore_slurm.options import Read, Table, read
from longshore_slurm.waiting import OPEN

OPTIONS: Final = Table("""
account|A= admin-comment= batch|b clusters|M= ctld cron full|f help hurry|H interactive|i jobname|n= me name= nodelist|w=
partition|p= qos|q= quiet|Q reservation|R= sibling= signal|s= state|t= usage user|u= verbose|v version|V wckey=
""")
#: Signals by which a job shall end; any other is only sent.
_ENDS: Final = frozenset({"KILL", "9"})


def run(words: list[str], environ: Mapping[str, str]) -> int:
    """Cancel what the words and filters name; a job that is over already is no failure."""
    options = read(OPTIONS, words)
    if helped(options, "scancel [OPTION...] [JOB...]"):
        return 0
    door = Door(environ)
    code, found = 0, list[TaskRange]()
    for word in (piece for each in options.rest for piece in each.split(",") if piece):
        try:
            found += _named(door, word)
        except (NotFound, BadInput) as err:
            code = 1
            if not options.has("quiet"):
                told("scancel", f"error: Kill job error on job id {word}: Invalid job id specified ({err})")
    if _filtered(options):
        found = list(_of_filters(door, options, options.rest))
    elif not options.rest:
        raise BadInput("No job identification provided")
    cancel(door, found, options.last("signal"))
    return code


def _named(door: Door, word: str) -> Iterable[TaskRange]:
    """A job's tasks; where the number may be of a submission that was just sent, without waiting for the read model."""
    one = jobs.named(word)
    known = door.bookmark.submission
    if not one.elements and one.ordinal is None and known is not None and known[0] == one.submission:
        return [TaskRange(SubmissionId(one.submission), 0, known[1] - 1)]
    return jobs.ranges(door.reader, [word])


def _filtered(options: Read) -> bool:
    return any(options.has(name) for name in ("user", "me", "name", "jobname", "partition", "state", "nodelist"))


def _of_filters(door: Door, options: Read, words: list[str]) -> Iterator[TaskRange]:
    mine = {door.environ.get("USER"), door.environ.get("LOGNAME"), str(os.getuid()), None}
    user = options.last("user")
    try:
        wanted = states.wanted(options.listed("state")) if options.has("state") else None
    except ValueError as err:
        raise BadInput(f"Invalid job state specified: {err}") from err
    filters: TaskFilters = {
        "user": door.profile.user if user in mine else user,
        "name": options.last("name") or options.last("jobname"),
        "batch": asked.token(partition) if (partition := options.last("partition")) else None,
        "worker": options.last("nodelist"),
        "ids": ",".join(map(str, jobs.ranges(door.reader, words))) or None,
        "state": OPEN,
    }
    for job in jobs.condensed(door.reader, **filters):
        if wanted is None or job.state in wanted:
            last = job.task.index if job.until is None else job.until
            yield TaskRange(SubmissionId(job.task.submission), job.task.index, last)


def cancel(door: Door, tasks: list[TaskRange], signal: str | None = None) -> None:
    """Cancel them, at once by SIGKILL; any other signal is sent to what runs."""
    for some in chunks(tasks):
        if not some:
            continue
        name = (signal or "").upper().removeprefix("SIG")
        if not name or name == "TERM" or name == "15":
            door.wish(CancelRequested(tasks=some))
        elif name in _ENDS:
            door.wish(CancelRequested(tasks=some, kill=True))
        else:
            door.wish(SignalRequested(tasks=some, signal=_signal(name)))


def _signal(name: str) -> str:
    from signal import Signals

    if name == "STOP":
        return "pause"
    if name == "CONT":
        return "continue"
    try:
        return Signals(int(name)).name if name.isdigit() else Signals[f"SIG{name}"].name
    except (ValueError, KeyError):
        raise BadInput(f"Unknown job signal: {name}") from None
