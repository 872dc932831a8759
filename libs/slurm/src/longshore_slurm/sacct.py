"""sacct: what became of jobs, for as long as the read model knows them."""

import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from longshore.reader import TaskFilters
from longshore_common.errors import BadInput
from longshore_slurm import columns, jobs, states
from longshore_slurm.door import Door
from longshore_slurm.fields import FIELDS, View
from longshore_slurm.jobs import Job
from longshore_slurm.main import helped
from longshore_slurm.options import Read, Table, of_environment, over, read

OPTIONS: Final = Table("""
accounts|A= account= allocations|X allusers|a array batch-script|B brief|b cluster= clusters|M= completion|c constraints|C=
delimiter=
duplicates|D endtime|E= env-vars expand-patterns federation file|f= flags|F= format|o= gid|g= group= helpformat|e help|h jobs|j=
json? local|L long|l me name= ncpus|I= nnodes|i= nodelist|N= noconvert noheader|n parsable|p parsable2|P partition|r= qos|q=
reason|R= starttime|S= state|s= submit-line timelimit-max= timelimit-min|k= truncate|T uid|u= usage user= use-local-uid
units= verbose|v version|V wckeys|W= whole-hetjob? associations|x= yaml?
""")
_PLAIN: Final = "jobid,jobname,partition,account,alloccpus,state,exitcode"
_BRIEF: Final = "jobid,state,exitcode"
#: Width of a column where none is asked for; a jobs's number needs more where it is an element's.
_WIDTH: Final = 10
_WIDE: Final = {"jobid": 12, "submitline": 20, "submit": 19, "start": 19, "end": 19, "eligible": 19, "workdir": 20}
#: Jobs that began before this many days are not looked for where no start is given: today's, as Slurm has it.
_MOST: Final = 100_000

#: Names of fields, in lower case: ours, and the head.
NAMES: Final[dict[str, tuple[str, str]]] = {
    "jobid": ("id", "JobID"), "jobidraw": ("number", "JobIDRaw"), "jobname": ("name", "JobName"),
    "partition": ("partition", "Partition"), "account": ("account", "Account"), "alloccpus": ("cpus", "AllocCPUS"),
    "ncpus": ("cpus", "NCPUS"), "reqcpus": ("cpus", "ReqCPUS"), "state": ("state", "State"), "exitcode": ("exit", "ExitCode"),
    "derivedexitcode": ("exit", "DerivedExitCode"), "elapsed": ("elapsed", "Elapsed"),
    "elapsedraw": ("elapsedraw", "ElapsedRaw"), "start": ("start", "Start"), "end": ("end", "End"),
    "submit": ("submit", "Submit"), "eligible": ("submit", "Eligible"), "user": ("user", "User"), "uid": ("uid", "UID"),
    "nodelist": ("worker", "NodeList"), "nnodes": ("nodes", "NNodes"), "allocnodes": ("nodes", "AllocNodes"),
    "maxrss": ("maxrss", "MaxRSS"), "totalcpu": ("totalcpu", "TotalCPU"), "cputime": ("cputime", "CPUTime"),
    "cputimeraw": ("cputimeraw", "CPUTimeRAW"), "reqmem": ("memory", "ReqMem"), "timelimit": ("limit", "Timelimit"),
    "workdir": ("workdir", "WorkDir"), "qos": ("qos", "QOS"), "cluster": ("cluster", "Cluster"),
    "reason": ("reason", "Reason"), "priority": ("priority", "Priority"), "ntasks": ("ntasks", "NTasks"),
    "submitline": ("command", "SubmitLine"), "comment": ("empty", "Comment"), "reqtres": ("empty", "ReqTRES"),
    "alloctres": ("empty", "AllocTRES"), "admincomment": ("empty", "AdminComment"), "avecpu": ("totalcpu", "AveCPU"),
    "averss": ("maxrss", "AveRSS"), "maxvmsize": ("empty", "MaxVMSize"), "maxdiskread": ("empty", "MaxDiskRead"),
    "maxdiskwrite": ("empty", "MaxDiskWrite"), "systemcpu": ("empty", "SystemCPU"), "usercpu": ("totalcpu", "UserCPU"),
    "reqnodes": ("nodes", "ReqNodes"), "group": ("empty", "Group"), "gid": ("empty", "GID"),
    "consumedenergy": ("empty", "ConsumedEnergy"), "maxpages": ("empty", "MaxPages"),
}  # fmt: skip
#: Fields that stand in the line of the batch step; the job's own line has none of what was measured.
_MEASURED: Final = frozenset({"maxrss", "averss", "maxvmsize", "maxdiskread", "maxdiskwrite", "avecpu", "maxpages"})


class _Row(NamedTuple):
    """A line: a job, or its batch step."""

    job: Job
    step: bool = False


def run(words: list[str], environ: Mapping[str, str]) -> int:
    """Print what became of jobs."""
    given = read(OPTIONS, words)
    outside = of_environment(OPTIONS, "SACCT_", environ)
    options = Read(over(OPTIONS, outside.options, given.options), given.rest, given.unknown)
    if helped(options, "sacct [OPTION...]"):
        return 0
    if options.has("helpformat"):
        print("\n".join(head for _, head in NAMES.values()))
        return 0
    if (
        not options.has("jobs")
        and not options.has("name")
        and {c.name.lower() for c in _columns(options)} <= {"account", "user"}
    ):
        return _no_accounts(options)
    door = Door(environ)
    view = View(door.reader, "Unknown")
    rows = _rows(_found(door, options, view), steps=not options.has("allocations"))
    _print(options, rows, view)
    return 0


def _no_accounts(options: Read) -> int:
    """Programs guess a user's account by their jobs' accounts: there is one, called none."""
    print("none" + ("|" if options.has("parsable") else ""))
    return 0


def _columns(options: Read) -> tuple[columns.Column, ...]:
    text = options.last("format") or (_BRIEF if options.has("brief") else _PLAIN)
    some = columns.of_percents(text, 0)
    if unknown := [column.name for column in some if column.name.lower() not in NAMES]:
        raise BadInput(f'Invalid field requested: "{unknown[0]}"')
    return tuple(_sized(column) for column in some)


def _sized(column: columns.Column) -> columns.Column:
    name = column.name.lower()
    if column.width:
        return column
    return column._replace(width=_WIDE.get(name, _WIDTH), right=name != "jobid")


def _print(options: Read, rows: Iterator[_Row], view: View) -> None:
    some = _columns(options)
    heads = [NAMES[column.name.lower()][1] for column in some]
    parsable = options.has("parsable") or options.has("parsable2")
    sign = options.last("delimiter") or "|"
    if parsable:
        table = ([_value(column.name.lower(), row, view) for column in some] for row in rows)
        head = [] if options.has("noheader") else [heads]
        for line in columns.parted([*head, *table], sign, closed=options.has("parsable")):
            print(line)
        return
    if not options.has("noheader"):
        print(columns.line(some, heads))
        print(columns.line(some, ["-" * column.width for column in some]))
    for row in rows:
        print(columns.line(some, [_fitted(column, _value(column.name.lower(), row, view)) for column in some]))


def _fitted(column: columns.Column, text: str) -> str:
    return text if len(text) <= column.width else text[: column.width - 1] + "+"


def _value(name: str, row: _Row, view: View) -> str:
    if row.step and name in ("jobid", "jobidraw"):
        return f"{FIELDS[NAMES[name][0]](row.job, view)}.batch"
    if row.step and name == "jobname":
        return "batch"
    if row.step and name in ("user", "partition", "qos", "reqmem", "timelimit", "submitline", "workdir"):
        return ""
    if not row.step and name in _MEASURED:
        return ""
    return FIELDS[NAMES[name][0]](row.job, view)


def _rows(found: Iterator[Job], *, steps: bool) -> Iterator[_Row]:
    for job in found:
        yield _Row(job)
        if steps and job.task.started_at is not None:
            yield _Row(job, step=True)


def _found(door: Door, options: Read, view: View) -> Iterator[Job]:
    try:
        wanted = states.wanted(options.listed("state")) if options.has("state") else None
    except ValueError as err:
        raise BadInput(f"Invalid job state specified: {err}") from err
    since, until = _span(options, view)
    for job in _candidates(door, options):
        ended = job.task.ended_at
        early = ended is not None and since is not None and ended.timestamp() < since
        late = until is not None and job.task.submitted_at is not None and job.task.submitted_at.timestamp() > until
        if not early and not late and (wanted is None or job.state in wanted):
            yield job


def _candidates(door: Door, options: Read) -> Iterator[Job]:
    if options.has("jobs"):
        yield from jobs.of_words(door.reader, options.listed("jobs"))
        return
    user = options.last("user") or options.last("uid")
    mine = {door.environ.get("USER"), door.environ.get("LOGNAME"), str(os.getuid()), None}
    name = door.profile.user if user in mine else user
    titles: list[str | None] = [*options.listed("name")] or [None]
    for title in titles:
        partition = options.last("partition")
        filters = TaskFilters(user=None if options.has("allusers") else name, name=title, batch=partition)
        yield from jobs.several(door.reader, limit=_MOST, **filters)


def _span(options: Read, view: View) -> tuple[float | None, float | None]:
    """From when to when; named jobs are shown whenever they were, others of today."""
    start, end = options.last("starttime"), options.last("endtime")
    if start is None and not options.has("jobs"):
        today = datetime.fromtimestamp(view.now).astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
        return today.timestamp(), instant(end, view.now) if end else None
    return (instant(start, view.now) if start else None), (instant(end, view.now) if end else None)


def instant(text: str, now: float) -> float:
    """Unix seconds of `2026-11-21[T10:00[:00]]`, `now[-2hours]`, `today`, `midnight`, `HH:MM`; as local time."""
    word = text.strip().lower()
    here = datetime.fromtimestamp(now).astimezone()
    midnight = here.replace(hour=0, minute=0, second=0, microsecond=0)
    if word.startswith("now"):
        return now + _offset(word[3:], text)
    if word in ("today", "midnight"):
        return midnight.timestamp()
    for form in (
        "%Y-%m-%dt%H:%M:%S",
        "%Y-%m-%dt%H:%M",
        "%Y-%m-%d",
        "%m/%d/%y-%H:%M:%S",
        "%m/%d/%y",
        "%H:%M:%S",
        "%H:%M",
    ):
        try:
            found = datetime.strptime(word, form)  # noqa: DTZ007 -- local time, as its user means it
        except ValueError:
            continue
        if "%d" not in form:
            found = found.replace(year=here.year, month=here.month, day=here.day)
        return found.astimezone().timestamp()
    raise BadInput(f"Invalid time specification {text!r}: write such as 2026-11-21T10:00:00, now-2hours or today")


_UNITS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}


def _offset(word: str, text: str) -> float:
    if not word:
        return 0.0
    digits = word[1:].rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = word[1 + len(digits) :].rstrip("s") or "second"
    if word[0] not in "+-" or not digits.isdigit() or unit not in _UNITS:
        raise BadInput(f"Invalid time specification {text!r}: write such as now-2hours or now-3days")
    return timedelta(seconds=int(digits) * _UNITS[unit]).total_seconds() * (-1 if word[0] == "-" else 1)
