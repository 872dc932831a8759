"""From the options of sbatch to the event of a submission. Pure; the environment is an argument.

What must not enter: files, the log, what the answer looks like.
"""

import os.path
from collections.abc import Mapping
from typing import Final, NamedTuple

from longshore import specs
from longshore.specs import checked
from longshore_common.errors import BadInput
from longshore_common.events import TasksSubmitted
from longshore_common.model import Array, TaskSpec
from longshore_slurm import amounts, asked, exports, jobscript
from longshore_slurm.dependencies import Need
from longshore_slurm.jobscript import WIDTH, Files, Job, command
from longshore_slurm.options import Read

#: Seconds between the signal that ends a job and its death: Slurm's KillWait.
GRACE: Final = 30.0
_NULL: Final = "/dev/null"


class Submitter(NamedTuple):
    """Who submits, where, and as whom jobs shall run: None is whoever the worker's agent is."""

    name: str
    uid: int
    gid: int
    host: str
    directory: str
    umask: int
    as_user: bool = False


class Script(NamedTuple):
    """The batch script, its words, and the name it gives the job."""

    text: str
    arguments: tuple[str, ...]
    name: str


def event(options: Read, script: Script, who: Submitter, environ: Mapping[str, str], key: str) -> TasksSubmitted:
    """The submission, without what it requires; `BadInput` says in Slurm's words what is wrong."""
    indices = amounts.indices(array) if (array := options.last("array")) else None
    if indices is not None and indices.highest >= WIDTH:
        raise BadInput(f"Invalid job array specification: {array!r}: elements are below {WIDTH:,}")
    made = _spec(options, script, who, environ)
    size = indices.size if indices else 1
    entries = tuple(map(str, indices.listed)) if indices else ()
    start, step = (indices.start, indices.step) if indices else (0, 1)
    tags = {f"slurm.{name}": value for name in ("account", "qos", "partition") if (value := options.last(name))}
    return TasksSubmitted(
        key=specs.key(key),
        batch=batch(options.last("partition"), environ),
        body=Array(spec=made, size=size, start=start, step=step, entries=entries),
        name=made.name,
        priority=asked.priority(options),
        max_running=indices.limit if indices else 0,
        held=options.has("hold"),
        on_failed_requirement="wait" if (options.last("kill-on-invalid-dep") or "yes").lower() == "no" else "fail",
        tags=tags,
        description=options.last("comment") or "",
    )


def requiring(made: TasksSubmitted, need: Need) -> dict[str, object]:
    """The fields by which this submission has that need."""
    return {
        "requires": need.tasks, "requires_any_outcome": need.manner == "any", "each_requires": need.manner == "each",
    }  # fmt: skip


def batch(partition: str | None, environ: Mapping[str, str]) -> str:
    """The batch that a partition is; the usual one if none is named."""
    return asked.token(partition.partition(",")[0]) if partition else environ.get("LONGSHORE_BATCH_DEFAULT", "default")


def _spec(options: Read, script: Script, who: Submitter, environ: Mapping[str, str]) -> TaskSpec:
    name = options.last("job-name") or script.name
    directory = os.path.normpath(os.path.join(who.directory, options.last("chdir") or options.last("workdir") or ""))
    want = asked.resources(options)
    limit = amounts.seconds(options.last("time") or "0")
    facts = _facts(options, want, who)
    job = Job(_files(options, directory), script.arguments, options.last("array") or "", facts)
    early = asked.signal(options.last("signal"))
    before = early.seconds if early and limit > early.seconds else 0.0
    made = TaskSpec(
        command=command(job),
        name=name,
        env={**environ, **variables(options, who, name), **jobscript.variables(script.text)},
        cpus=want.cpus, memory=want.memory, gpus=want.gpus, disk=want.disk, custom=want.custom,
        run_timeout=limit - before,
        stop_signal=specs.stop_signal(early.name) if early and not early.name.isdigit() else "",
        grace=early.seconds if early and before else GRACE,
        retry_on={"worker-lost": 0, "evicted": 0, "host": 0} if options.has("no-requeue") else {},
        uid=who.uid if who.as_user else None,
        gid=who.gid if who.as_user else None,
    )  # fmt: skip
    return checked(made)


def _facts(options: Read, want: asked.Resources, who: Submitter) -> dict[str, str]:
    numbers = {"cpus": int(want.cpus), "memory": want.memory, "gpus": want.gpus, "disk": want.disk, "tasks": want.tasks}
    limit = int(amounts.seconds(options.last("time") or "0"))
    texts = {"uid": str(who.uid), "gid": str(who.gid), "host": who.host, "hold": "1" if options.has("hold") else ""}
    asked_for = {name: options.last(name) or "" for name in ("account", "qos", "comment", "dependency")}
    return {**{name: str(n) for name, n in {**numbers, "limit": limit}.items() if n}, **texts, **asked_for}


def _files(options: Read, directory: str) -> Files:
    output = options.last("output") or ("slurm-%A_%a.out" if options.has("array") else "slurm-%j.out")
    mode = (options.last("open-mode") or "t").lower()
    if mode not in ("t", "a", "truncate", "append"):
        raise BadInput(f"Invalid --open-mode: {mode!r}: it is append or truncate")
    names = [options.last(name) or "" for name in ("error", "input")]
    error, read = (_NULL if name == "none" else name for name in names)
    return Files(directory, _NULL if output == "none" else output, error, read, mode.startswith("a"))


def variables(options: Read, who: Submitter, name: str) -> dict[str, str]:
    """The variables of a job that are known when it is submitted; its wrapper adds those that its worker knows."""
    want = asked.resources(options)
    found = {
        "SLURM_JOB_NAME": name, "SLURM_JOB_USER": who.name, "SLURM_JOB_UID": str(who.uid), "SLURM_JOB_GID": str(who.gid),
        "SLURM_SUBMIT_HOST": who.host, "SLURM_UMASK": f"{who.umask:04o}", "SLURM_CLUSTER_NAME": "longshore",
        "SLURM_NTASKS": str(want.tasks), "SLURM_NPROCS": str(want.tasks), "SLURM_TASKS_PER_NODE": str(want.tasks),
        "SLURM_JOB_NUM_NODES": "1", "SLURM_NNODES": "1", "SLURM_NODEID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0",
        "SLURM_GTIDS": "0", "SLURM_SUBMIT_DIR": who.directory, "SLURM_JOB_PARTITION": options.last("partition") or "default",
    }  # fmt: skip
    found |= _where_asked(options, want)
    if array := options.last("array"):
        indices = amounts.indices(array)
        found |= {
            "SLURM_ARRAY_TASK_COUNT": str(indices.size), "SLURM_ARRAY_TASK_MIN": str(indices.lowest),
            "SLURM_ARRAY_TASK_MAX": str(indices.highest), "SLURM_ARRAY_TASK_STEP": str(indices.step),
        }  # fmt: skip
    return found


def _where_asked(options: Read, want: asked.Resources) -> dict[str, str]:
    found: dict[str, str] = {}
    if want.cpus_per_task:
        found["SLURM_CPUS_PER_TASK"] = str(want.cpus_per_task)
    if want.memory:
        found["SLURM_MEM_PER_NODE"] = str(want.memory // 1024**2)
    if want.gpus:
        found["SLURM_GPUS"] = found["SLURM_GPUS_ON_NODE"] = str(want.gpus)
    for name in ("account", "qos"):
        if value := options.last(name):
            found[f"SLURM_JOB_{name.upper()}"] = value
    return found


def inherited(options: Read, environ: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """(variables for the log, variables for nobody but the user) that the job gets from where it was submitted."""
    return exports.parted(exports.exported(options.last("export"), environ))
