"""scontrol: one job, node or partition in all its words; lists of hosts; hold, release, suspend, resume, requeue."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from longshore import filters
from longshore_common.errors import BadInput
from longshore_common.events import CancelRequested, Event, RetryRequested, SignalRequested
from longshore_common.ids import TaskRange
from longshore_slurm import VERSION, amounts, jobs, nodes, waiting
from longshore_slurm.door import Door
from longshore_slurm.fields import FIELDS, View
from longshore_slurm.jobs import Job
from longshore_slurm.jobscript import script_of
from longshore_slurm.options import Read, Table, read
from longshore_slurm.squeue import MIN_JOB_AGE

OPTIONS: Final = Table(
    "all|a cluster= clusters|M= details|d federation|F future help|h hide json? local oneliner|o quiet|Q uid|u= usage verbose|v"
    " version|V yaml?"
)


def run(words: list[str], environ: Mapping[str, str]) -> int:
    """Do what the first word says."""
    options = read(OPTIONS, words)
    verb = options.rest[0].lower() if options.rest else ""
    if options.has("help") or not verb:
        print("Usage: scontrol [OPTION...] COMMAND: see docs/manual/slurm.md")
        return 0
    found = next((name for name in _VERBS if name.startswith(verb)), None)
    if found is None:
        raise BadInput(f"invalid keyword: {verb}")
    return _VERBS[found](options, environ)


def _show(options: Read, environ: Mapping[str, str]) -> int:
    what = options.rest[1].lower() if len(options.rest) > 1 else ""
    word, _, inline = what.partition("=")
    names = [inline] if inline else options.rest[2:]
    found = next((each for name, each in _SHOWN.items() if word and name.startswith(word)), None)
    if found is None:
        raise BadInput(f"invalid entity:{what} for keyword:show")
    return found(names, options, environ)


def _show_hostnames(names: list[str], _: Read, environ: Mapping[str, str]) -> int:
    text = ",".join(names) or environ.get("SLURM_JOB_NODELIST") or environ.get("SLURM_NODELIST")
    if not text:
        raise BadInput("no list of hosts given, and this is no job")
    print("\n".join(amounts.hosts(text)))
    return 0


def _show_hostlist(names: list[str], _: Read, __: Mapping[str, str]) -> int:
    print(",".join(names))
    return 0


def _show_config(_: list[str], __: Read, environ: Mapping[str, str]) -> int:
    pairs = {
        "AccountingStorageType": "accounting_storage/slurmdbd", "ClusterName": "longshore", "KillWait": "30 sec",
        "MaxArraySize": "10000000", "MaxJobCount": "10000000", "MinJobAge": f"{MIN_JOB_AGE} sec",
        "SLURM_VERSION": VERSION.partition(" ")[2], "SlurmctldHost[0]": Door(environ).profile.api_url,
    }  # fmt: skip
    print("Configuration data")
    for name, value in pairs.items():
        print(f"{name:<23} = {value}")
    return 0


def _show_job(names: list[str], options: Read, environ: Mapping[str, str]) -> int:
    door = Door(environ)
    view = View(door.reader, "Unknown")
    words = [piece for name in names for piece in name.split(",") if piece]
    found = list(jobs.of_words(door.reader, words)) if words else list(_all(door))
    if words and not found:
        raise BadInput("slurm_load_jobs error: Invalid job id specified")
    for job in found:
        _print(_job(job, view), options)
    if not found:
        print("No jobs in the system")
    return 0


def _all(door: Door) -> Iterator[Job]:
    return jobs.several(door.reader, state=waiting.OPEN)


def _job(job: Job, view: View) -> list[list[str]]:
    """Lines of words, as scontrol has them."""
    field = {name: FIELDS[name](job, view) for name in FIELDS if name not in ("tres",)}
    first = [f"JobId={job.number}"]
    if job.array:
        first += [f"ArrayJobId={job.task.submission}", f"ArrayTaskId={job.element}"]
    directory = field["workdir"]
    return [
        [*first, f"JobName={job.name}"],
        [f"UserId={field['user']}({field['uid']})", f"GroupId={job.fact('gid') or '0'}", "MCS_label=N/A"],
        [f"Priority={field['priority']}", "Nice=0", f"Account={field['account']}", f"QOS={field['qos']}"],
        [f"JobState={field['state']}", f"Reason={field['reason']}", f"Dependency={field['dependency']}"],
        [f"Requeue=1 Restarts={_restarts(job)} BatchFlag=1 Reboot=0 ExitCode={field['exit']}"],
        [f"RunTime={field['elapsed']}", f"TimeLimit={field['limit']}", "TimeMin=N/A"],
        [f"SubmitTime={field['submit']}", f"EligibleTime={field['submit']}"],
        [f"StartTime={field['start']}", f"EndTime={field['end']}", "Deadline=N/A"],
        [f"Partition={field['partition']}", f"AllocNode:Sid={job.fact('host')}:0"],
        [f"ReqNodeList=(null) ExcNodeList=(null) NodeList={field['worker'] or '(null)'} BatchHost={field['worker']}"],
        [f"NumNodes=1 NumCPUs={field['cpus']} NumTasks={field['ntasks']} CPUs/Task=1 ReqB:S:C:T=0:0:*:*"],
        [f"MinCPUsNode=1 MinMemoryNode={field['memory']} MinTmpDiskNode={amounts.shown_memory(job.amount('disk'))}"],
        [f"Command={field['command'] or '(null)'}"],
        [f"WorkDir={directory}"],
        [f"StdErr={_path(job, field['stderr'] or field['stdout'])}"],
        [f"StdIn={field['stdin'] or '/dev/null'}"],
        [f"StdOut={_path(job, field['stdout'])}"],
    ]  # fmt: skip


def _restarts(job: Job) -> int:
    return max(int(job.task.attempt or 1) - 1, 0)


def _path(job: Job, pattern: str) -> str:
    """The file that a pattern means, as far as it is known here."""
    if not pattern or job.shape is None:
        return "/dev/null"
    known = {
        "j": str(job.number), "J": str(job.number), "A": str(job.task.submission), "a": str(job.element), "x": job.name,
        "u": job.task.user, "N": job.task.worker or "", "n": "0", "t": "0", "%": "%",
    }  # fmt: skip
    text, _, rest = pattern.partition("%")
    while rest:
        text += known.get(rest[0], f"%{rest[0]}")
        more, sign, rest = rest[1:].partition("%")
        text += more
        if not sign:
            break
    return os.path.join(job.shape.files.directory, text)


def _print(lines: Sequence[Sequence[str]], options: Read) -> None:
    parts = [" ".join(words) for words in lines]
    if options.has("oneliner"):
        print(" ".join(parts))
        return
    print("\n   ".join(parts) + "\n")


def _show_node(names: list[str], options: Read, environ: Mapping[str, str]) -> int:
    door = Door(environ)
    wanted = {host for name in names for host in amounts.hosts(name)}
    for worker in door.reader.workers():
        if not wanted or worker.name in wanted:
            _print(nodes.lines(worker), options)
    return 0


def _show_partition(names: list[str], options: Read, environ: Mapping[str, str]) -> int:
    door = Door(environ)
    wanted = set(names)
    for name, members in nodes.partitions(door.reader.workers()).items():
        if not wanted or name in wanted:
            hosts = ",".join(worker.name for worker in members)
            default = "YES" if name == nodes.DEFAULT else "NO"
            _print(
                [[f"PartitionName={name}"], [f"Default={default} MaxTime=UNLIMITED State=UP Nodes={hosts}"]], options
            )
    return 0


def _script(names: list[str], _: Read, environ: Mapping[str, str]) -> int:
    """`scontrol write batch_script JOB [FILE]`; `-` is standard output."""
    if not names or names[0] != "batch_script" or len(names) < 2:
        raise BadInput("write such as: scontrol write batch_script 1204 -")
    door = Door(environ)
    found = next(jobs.of_words(door.reader, names[1:2]), None)
    text = script_of(spec.env) if found and (spec := View(door.reader).spec(found)) else ""
    if not text:
        raise BadInput(f"job script retrieval failed: {names[1]} has none")
    target = names[2] if len(names) > 2 else f"slurm-{names[1]}.sh"
    if target == "-":
        sys.stdout.write(text)
    else:
        with open(target, "x") as file:
            file.write(text)
        print(f"batch script for job {names[1]} written to {target}")
    return 0


Wish = Callable[[tuple[TaskRange, ...]], Event]


def _named(door: Door, options: Read) -> tuple[TaskRange, ...]:
    words = [piece for word in options.rest[1:] for piece in word.removeprefix("JobId=").split(",") if piece]
    if not words:
        raise BadInput("too few arguments: name a job")
    return jobs.ranges(door.reader, words)


def _requeue(options: Read, environ: Mapping[str, str]) -> int:
    """What runs is ended first: only what is over can begin again."""
    door = Door(environ)
    for some in filters.chunks(_named(door, options)):
        door.wish(CancelRequested(tasks=some, kill=True))
        waiting.over(door, some)
        door.wish(RetryRequested(tasks=some))
    return 0


def _wished(*wishes: Wish) -> Callable[[Read, Mapping[str, str]], int]:
    def wishing(options: Read, environ: Mapping[str, str]) -> int:
        door = Door(environ)
        for some in filters.chunks(_named(door, options)):
            for wish in wishes:
                door.wish(wish(some))
        return 0

    return wishing


def _ping(_: Read, environ: Mapping[str, str]) -> int:
    door = Door(environ)
    door.reader.request("GET", "/batches?limit=1")
    print(f"Slurmctld(primary) at {door.profile.api_url} is UP")
    return 0


def _update(options: Read, _: Mapping[str, str]) -> int:
    raise BadInput("jobs are edited by `longshore task edit`, which also shows beforehand what comes of it")


_VERBS: Final[dict[str, Callable[[Read, Mapping[str, str]], int]]] = {
    "show": _show,
    "hold": _wished(lambda tasks: SignalRequested(tasks=tasks, signal="pause")),
    "uhold": _wished(lambda tasks: SignalRequested(tasks=tasks, signal="pause")),
    "release": _wished(
        lambda tasks: SignalRequested(tasks=tasks, signal="continue"), lambda tasks: RetryRequested(tasks=tasks)
    ),
    "suspend": _wished(lambda tasks: SignalRequested(tasks=tasks, signal="pause")),
    "resume": _wished(lambda tasks: SignalRequested(tasks=tasks, signal="continue")),
    "requeue": _requeue,
    "write": lambda options, environ: _script(options.rest[1:], options, environ),
    "ping": _ping,
    "update": _update,
}
_SHOWN: Final[dict[str, Callable[[list[str], Read, Mapping[str, str]], int]]] = {
    "job": _show_job,
    "hostnames": _show_hostnames,
    "hostlistsorted": _show_hostlist,
    "hostlist": _show_hostlist,
    "config": _show_config,
    "node": _show_node,
    "partition": _show_partition,
}
