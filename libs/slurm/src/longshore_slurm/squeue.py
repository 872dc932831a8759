"""squeue: jobs that wait or run, and for a while those that ended."""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from longshore.reader import TaskFilters
from longshore_common.errors import BadInput
from longshore_slurm import columns, jobs, states
from longshore_slurm.door import Door
from longshore_slurm.fields import FIELDS, View
from longshore_slurm.jobs import Job
from longshore_slurm.main import helped
from longshore_slurm.options import Read, Table, of_environment, over, read

#: Seconds for which ended jobs are listed, and most of them.
MIN_JOB_AGE: Final = 3600
MOST_ENDED: Final = 10_000

OPTIONS: Final = Table("""
account|A= all|a array|r array-unique clusters|M= expand-patterns federation format|o= Format|O= help hide iterate|i= jobs|j?
json? licenses|L= local long|l me name|n= nodelist|w= noconvert noheader|h only-job-state partition|p= priority|P qos|q=
reservation|R= sibling sort|S= start states|t= state= steps|s? usage users|u= verbose|v version|V yaml?
""")
_PLAIN: Final = "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R"
_LONG: Final = "%.18i %.9P %.8j %.8u %.8T %.10M %.9l %.6D %R"
_START: Final = "%.18i %.9P %.8j %.8u %.2t %.19S %.6D %20Y %R"

#: Letters of -o: the field, and its head.
LETTERS: Final[dict[str, tuple[str, str]]] = {
    "i": ("id", "JOBID"), "A": ("number", "JOBID"), "F": ("base", "ARRAY_JOB_ID"), "K": ("element", "ARRAY_TASK_ID"),
    "j": ("name", "NAME"), "u": ("user", "USER"), "U": ("uid", "UID"), "t": ("st", "ST"), "T": ("state", "STATE"),
    "M": ("used", "TIME"), "l": ("limit", "TIME_LIMIT"), "L": ("left", "TIME_LEFT"), "D": ("nodes", "NODES"),
    "C": ("cpus", "CPUS"), "c": ("cpus", "MIN_CPUS"), "m": ("memory", "MIN_MEMORY"), "N": ("worker", "NODELIST"),
    "R": ("place", "NODELIST(REASON)"), "r": ("reason", "REASON"), "P": ("partition", "PARTITION"),
    "a": ("account", "ACCOUNT"), "q": ("qos", "QOS"), "S": ("start", "START_TIME"), "e": ("end", "END_TIME"),
    "V": ("submit", "SUBMIT_TIME"), "Z": ("workdir", "WORK_DIR"), "o": ("command", "COMMAND"),
    "p": ("priority", "PRIORITY"), "Q": ("priority", "PRIORITY"), "k": ("comment", "COMMENT"),
    "E": ("dependency", "DEPENDENCY"), "b": ("tres", "TRES_PER_NODE"), "B": ("worker", "EXEC_HOST"),
    "Y": ("nothing", "SCHEDNODES"), "f": ("nothing", "FEATURES"), "n": ("nothing", "REQ_NODES"),
    "x": ("nothing", "EXC_NODES"), "v": ("nothing", "RESERVATION"), "w": ("nothing", "WCKEY"),
}  # fmt: skip
#: Names of -O, in lower case: the field, and its head.
NAMES: Final[dict[str, tuple[str, str]]] = {
    "jobid": ("number", "JOBID"), "arrayjobid": ("base", "ARRAY_JOB_ID"), "jobarrayid": ("base", "ARRAY_JOB_ID"),
    "arraytaskid": ("element", "ARRAY_TASK_ID"), "name": ("name", "NAME"), "username": ("user", "USER"),
    "userid": ("uid", "UID"), "statecompact": ("st", "ST"), "state": ("state", "STATE"), "timeused": ("used", "TIME"),
    "timelimit": ("limit", "TIME_LIMIT"), "timeleft": ("left", "TIME_LEFT"), "numnodes": ("nodes", "NODES"),
    "numcpus": ("cpus", "CPUS"), "numtasks": ("ntasks", "TASKS"), "minmemory": ("memory", "MIN_MEMORY"),
    "mincpus": ("cpus", "MIN_CPUS"), "nodelist": ("worker", "NODELIST"), "reasonlist": ("place", "NODELIST(REASON)"),
    "reason": ("reason", "REASON"), "partition": ("partition", "PARTITION"), "account": ("account", "ACCOUNT"),
    "qos": ("qos", "QOS"), "starttime": ("start", "START_TIME"), "endtime": ("end", "END_TIME"),
    "submittime": ("submit", "SUBMIT_TIME"), "workdir": ("workdir", "WORK_DIR"), "command": ("command", "COMMAND"),
    "prioritylong": ("priority", "PRIORITY"), "priority": ("priority", "PRIORITY"), "comment": ("comment", "COMMENT"),
    "dependency": ("dependency", "DEPENDENCY"), "tres-per-node": ("tres", "TRES_PER_NODE"),
    "batchhost": ("worker", "EXEC_HOST"), "stdout": ("stdout", "STDOUT"), "stderr": ("stderr", "STDERR"),
    "stdin": ("stdin", "STDIN"), "exit_code": ("exit", "EXIT_CODE"), "cluster": ("cluster", "CLUSTER"),
}  # fmt: skip


class _Shape(NamedTuple):
    """The columns, and the field and head of each."""

    columns: tuple[columns.Column, ...]
    fields: tuple[tuple[str, str], ...]


def run(words: list[str], environ: Mapping[str, str]) -> int:
    """List jobs."""
    given = read(OPTIONS, words)
    options = Read(
        over(OPTIONS, of_environment(OPTIONS, "SQUEUE_", environ).options, given.options), given.rest, given.unknown
    )
    if helped(options, "squeue [OPTION...]"):
        return 0
    shape = _shape(options)
    door = Door(environ)
    view = View(door.reader)
    found = _found(door, options, view)
    if not options.has("noheader"):
        print(columns.line(shape.columns, (head for _, head in shape.fields)))
    for job in found:
        print(columns.line(shape.columns, (FIELDS[field](job, view) for field, _ in shape.fields)))
    return 0


def _shape(options: Read) -> _Shape:
    if (named := options.last("Format")) is not None:
        some = columns.of_names(named)
        unknown = [column.name for column in some if column.name.lower() not in NAMES]
        if unknown:
            raise BadInput(f"Invalid job format specification: {unknown[0]}")
        return _Shape(some, tuple(NAMES[column.name.lower()] for column in some))
    usual = _START if options.has("start") else _LONG if options.has("long") else _PLAIN
    some = columns.of_letters(options.last("format") or usual)
    return _Shape(some, tuple(LETTERS.get(column.name, ("nothing", column.name)) for column in some))


def _found(door: Door, options: Read, view: View) -> Iterator[Job]:
    try:
        wanted = states.wanted([*options.listed("states"), *options.listed("state")] or ["PD", "R", "S"])
    except ValueError as err:
        raise BadInput(f"Invalid job state specified: {err}") from err
    found = _of_ids(door, options) if _ids(options) else _of_filters(door, options, wanted)
    named = bool(_ids(options))
    for job in found:
        if (wanted is None or job.state in wanted) and (named or _recent(job, view)) and _admitted(job, options):
            yield job


def _ids(options: Read) -> list[str]:
    if options.last("jobs") == "":  # -j 1204, --jobs 1204: the value is the next word
        return [piece for word in options.rest for piece in word.split(",") if piece]
    return options.listed("jobs")


def _of_ids(door: Door, options: Read) -> Iterator[Job]:
    found = list(jobs.of_words(door.reader, _ids(options)))
    if not found and len(_ids(options)) == 1:
        raise BadInput("slurm_load_jobs error: Invalid job id specified")
    return iter(found)


def _of_filters(door: Door, options: Read, wanted: frozenset[states.Said] | None) -> Iterator[Job]:
    users = _users(door, options)
    names: list[str | None] = [*options.listed("name")] or [None]
    partitions: list[str | None] = [*options.listed("partition")] or [None]
    for user in users:
        for name in names:
            for partition in partitions:
                filters = TaskFilters(user=user, name=name, batch=partition)
                yield from _some(door, filters, options, wanted)


def _some(door: Door, filters: TaskFilters, options: Read, wanted: frozenset[states.Said] | None) -> Iterator[Job]:
    ours = {state for one in (states.ALL if wanted is None else wanted) for state in states.OURS[one]}
    waiting = ours & {"waiting", "queued"}
    if waiting and not (options.has("array") or options.has("array-unique")):
        yield from jobs.condensed(door.reader, **_in(filters, waiting))
        ours -= waiting
    open_ = ours - {"succeeded", "failed", "cancelled"}
    if open_:
        yield from jobs.several(door.reader, **_in(filters, open_))
    if over_ := ours - open_:
        yield from jobs.several(door.reader, limit=MOST_ENDED, **_in(filters, over_))


def _in(filters: TaskFilters, some: set[str]) -> TaskFilters:
    return {**filters, "state": ",".join(sorted(some))}


def _users(door: Door, options: Read) -> Iterable[str | None]:
    if options.has("me"):
        return [door.profile.user]
    return [_user(door, name) for name in options.listed("users")] or [None]


def _user(door: Door, name: str) -> str:
    """A user of this computer by its name or number is the user of the stack that they are."""
    mine = {door.environ.get("USER"), door.environ.get("LOGNAME"), str(os.getuid())}
    return door.profile.user if name in mine else name


def _recent(job: Job, view: View) -> bool:
    ended = job.task.ended_at
    return ended is None or view.now - ended.timestamp() < MIN_JOB_AGE


def _admitted(job: Job, options: Read) -> bool:
    nodes = options.listed("nodelist")
    return not nodes or job.task.worker in nodes
