"""What a task finds when it starts: its argv, its environment, and its URIs with placeholders replaced.

Pure text. What must not enter: reading this process's environment, making directories.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from msgspec import structs

from longshore_common.events import Order, Start
from longshore_common.ids import AttemptId
from longshore_common.model import Step, TaskSpec
from longshore_data.uri import expand

#: Of the host's environment a task keeps these and LC_*; never the agent's own credentials and settings.
KEPT: Final = ("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "USER", "LOGNAME", "SHELL", "TERM", "LD_LIBRARY_PATH")
_THREADS: Final = (
    "CPU",
    "THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


class Host(NamedTuple):
    """What of the host a task is told: hardware threads, memory in bytes, slots, the worker's name."""

    worker: str
    threads: int
    memory: int
    slots: int


class Devices(NamedTuple):
    """What of the host is one attempt's own: ids of hardware threads, and of GPUs (indexes or UUIDs); empty: nothing set
    aside, it shares what there is.
    """

    cpus: tuple[int, ...] = ()
    gpus: tuple[str, ...] = ()


#: Nothing set aside.
SHARED: Final = Devices()
#: No variables.
NOTHING: Final[Mapping[str, str]] = {}


class Places(NamedTuple):
    """Where a task finds its directories: absolute paths of the host, or the fixed ones of a container."""

    input: str
    output: str
    temp: str
    resource: str

    @property
    def tree(self) -> str:
        """Beside them on a host: the folders that a task named in its containers, each at its path there."""
        return f"{self.input.rpartition('/')[0]}/tree"


#: The directories as a container sees them.
INSIDE: Final = Places("/input", "/output", "/tmp", "/resource")


def kept(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of the host's environment that every bare task inherits."""
    return {k: v for k, v in environ.items() if k in KEPT or k.startswith("LC_")}


def shared_environment(order: Order, host: Host, inherited: Mapping[str, str]) -> dict[str, str]:
    """Variables that all attempts of an order have in common; the user's own win, except LONGSHORE_ ones."""
    spec = order.spec
    threads = str(max(1, int(spec.cpus)) if spec.cpus else max(1, host.threads // max(1, host.slots)))
    memory = spec.memory or host.memory // max(1, host.slots)
    return {
        **inherited,
        **dict.fromkeys(_THREADS, threads),
        "MEM": str(memory),
        **spec.env,
        "LONGSHORE_BATCH": order.batch,
        "LONGSHORE_SUBMISSION": str(order.submission),
        "LONGSHORE_WORKER": host.worker,
    }


def environment(
    shared: Mapping[str, str], attempt: AttemptId, start: Start, places: Places, own: Mapping[str, str] = NOTHING
) -> dict[str, str]:
    """The complete environment of one attempt; `own`: see `own_environment`."""
    return {
        **shared,
        **own,
        "INPUT": places.input,
        "OUTPUT": places.output,
        "TEMP": places.temp,
        "RESOURCE": places.resource,
        "LONGSHORE_TASK": attempt[: attempt.rindex(".")],
        "LONGSHORE_ATTEMPT": attempt,
        "LONGSHORE_INDEX": str(start.label),
        "LONGSHORE_ENTRY": start.entry,
    }


def memory(spec: TaskSpec, start: Start) -> int:
    """Bytes of memory that count as this attempt's limit, 0 for none: more than the task asked for once it ran out."""
    return start.memory or spec.memory


def own_environment(spec: TaskSpec, start: Start, devices: Devices, *, inside: bool = False) -> Mapping[str, str]:
    """What differs from the order's other attempts: more memory, CPUs and GPUs set aside for this one. The user's own win.

    `inside` a container only its own GPUs are there and count from 0, so CUDA must not be told of their numbers outside.
    """
    if not start.memory and devices == SHARED:
        return NOTHING
    own: dict[str, str] = {}
    if start.memory:
        own["MEM"] = str(start.memory)
    if devices.cpus:
        own |= dict.fromkeys(_THREADS, str(len(devices.cpus)))
        own["LONGSHORE_CPUS"] = ",".join(map(str, devices.cpus))
    if devices.gpus:
        ids = ",".join(devices.gpus)
        own["LONGSHORE_GPUS"] = ids
        if not inside:  # PCI_BUS_ID: as nvidia-ml counts; CUDA's own order is by speed
            own |= {"CUDA_VISIBLE_DEVICES": ids, "NVIDIA_VISIBLE_DEVICES": ids, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    return {k: v for k, v in own.items() if k not in spec.env or k.startswith("LONGSHORE_")}


def argv(spec: TaskSpec) -> list[str]:
    """The command to the byte; a shell command's further words are its positional parameters."""
    if not spec.shell or not spec.command:
        return list(spec.command)
    return ["/bin/sh", "-c", spec.command[0], "sh", *spec.command[1:]]


def located(spec: TaskSpec, start: Start) -> TaskSpec:
    """`spec` with `{index}`, `{entry}`, `{name}` replaced wherever it names a URI; `BadInput` names the fix.

    The index is the task's label: what it reads as LONGSHORE_INDEX.
    """
    if not (spec.inputs or spec.resources or spec.output or spec.mounts or spec.collects):
        return spec
    fields = {f: getattr(spec, f) for f in spec.__struct_fields__}
    for name in ("inputs", "resources"):
        fields[name] = tuple(expand(text, start.label, start.entry) for text in fields[name])
    if spec.output:
        fields["output"] = expand(spec.output, start.label, start.entry)
    for name in ("mounts", "collects"):
        fields[name] = tuple(
            structs.replace(one, uri=expand(one.uri, start.label, start.entry)) for one in fields[name]
        )
    return TaskSpec(**fields)


def of_step(spec: TaskSpec, step: Step) -> TaskSpec:
    """What one step of a task runs, as a spec of its own: the task's, with the step's command, container and variables."""
    return structs.replace(
        spec,
        command=step.command,
        shell=False,
        container=step.container or None,
        env={**spec.env, **step.env},
        steps=(),
    )
