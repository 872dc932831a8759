"""What the agent asks of storage and of container engines: the ports that `service` calls and `adapters` implement.

Paths are absolute strings of this host. What must not enter: how bytes are moved, retries over minutes (the service
repeats what `retriable` allows), the order of phases.
"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from longshore_agent.core.attempt import Published
from longshore_agent.core.contract import SHARED, Devices, Places
from longshore_common.errors import LongshoreError
from longshore_common.events import Start
from longshore_common.ids import AttemptId, TaskId
from longshore_common.model import Cause, Collected, OutputFile, Swept, TaskSpec
from longshore_data.manifest import Origin
from longshore_data.meter import UNMETERED, Meter

#: Nothing is known of where outputs come from.
UNKNOWN = Origin()


class StagingError(LongshoreError):
    """Bytes could not be moved: `cause` and `reason` are reported; `retriable`: the same call may succeed later.

    `definite`: no other host would do better either.
    """

    def __init__(self, cause: Cause, reason: str, *, retriable: bool = False, definite: bool = False) -> None:
        super().__init__(reason)
        self.cause, self.reason, self.retriable, self.definite = cause, reason, retriable, definite


class ContainerError(LongshoreError):
    """A container could not be made or reached: cause `image`, `launch` or `host`, with the reason for the report."""

    def __init__(self, cause: Cause, reason: str) -> None:
        super().__init__(reason)
        self.cause, self.reason = cause, reason


class Sweep(NamedTuple):
    """What to remove of one task: `attempt` is its last one, `spec` is located already."""

    what: Swept
    task: TaskId
    attempt: AttemptId
    spec: TaskSpec


class Stager(Protocol):
    """Moves the bytes of attempts. Every call may be cancelled at any point and repeated; a repeat does no harm.

    Placeholders (`{index}` …) in `spec.inputs`, `spec.resources` and `output_uri` are already replaced by the caller.
    The directories given exist. Time-outs of the phases are the caller's: it cancels.
    """

    def meter(self, *, up: bool = False) -> Meter:
        """A count for one transfer in, or `up` out, under this host's limits."""
        ...

    async def stage_in(
        self, attempt: AttemptId, spec: TaskSpec, start: Start, places: Places, meter: Meter = UNMETERED
    ) -> Origin:
        """Fetch inputs flat into `places.input`, resources into `places.resource`, a checkpoint into `places.temp`, mounts
        to where `core.folders` has their paths.

        What they were, as far as somebody will ask. Resources stay on this host until `release`. `StagingError`.
        """
        ...

    async def contents(self, spec: TaskSpec) -> tuple[str, ...]:
        """Of each input, then of each resource and mount, what names its content; empty where storage cannot say.

        `StagingError`.
        """
        ...

    async def reusable(self, earlier: Published, output_uri: str) -> bool:
        """Whether these outputs are there as they were published, and can be copied to `output_uri`. `StagingError`."""
        ...

    async def reuse(
        self, attempt: AttemptId, earlier: Published, output_uri: str
    ) -> tuple[tuple[OutputFile, ...], int]:
        """Instead of `deliver`: these outputs, copied below the attempt's private prefix; (files, bytes). `StagingError`."""
        ...

    async def deliver(
        self, attempt: AttemptId, output_uri: str, output_dir: str, meter: Meter = UNMETERED
    ) -> tuple[tuple[OutputFile, ...], int]:
        """Put every regular file under `output_dir` below the attempt's private prefix; (files, bytes). `StagingError`."""
        ...

    async def collect(
        self, attempt: AttemptId, spec: TaskSpec, places: Places, meter: Meter = UNMETERED
    ) -> tuple[Collected, ...]:
        """Upload what the collects of `spec` name and is there; what is not is passed over. `StagingError`."""
        ...

    async def save(self, attempt: AttemptId, output_uri: str, path: str, meter: Meter = UNMETERED) -> bool:
        """Make the file or folder `path` the checkpoint of the task, whole or not at all; False if nothing is there."""
        ...

    async def publish(
        self,
        attempt: AttemptId,
        task: TaskId,
        output_uri: str,
        files: tuple[OutputFile, ...] | None,
        origin: Origin = UNKNOWN,
    ) -> int:
        """Make the delivered files visible, write the manifest last, drop the private prefix; the number of files.

        `files` None: what lies in the private prefix of `attempt` (of any worker) counts. Finishing a publication that
        another call began is a success; a private prefix that is gone without a manifest is a `StagingError`.
        """
        ...

    async def tidy(self, attempt: AttemptId, output_uri: str) -> None:
        """The task is published by `attempt`: its checkpoint and the private prefixes of earlier attempts go."""
        ...

    async def sweep(self, sweep: Sweep) -> tuple[int, tuple[tuple[str, str], ...]]:
        """Remove it; how many files, and (URI, reason) of what is left. What is gone already is fine."""
        ...

    async def spare(self) -> bool:
        """This host's disk is full: give up what is only kept; whether that was anything."""
        ...

    def acting(self, values: Mapping[str, str]) -> AbstractAsyncContextManager[None]:
        """Storage is reached with these credentials in what is done inside, and with no others."""
        ...

    def hold(self, attempt: AttemptId, spec: TaskSpec) -> None:
        """After a restart: it was staged in an earlier life, and its resources stay."""
        ...

    def release(self, attempt: AttemptId) -> None:
        """It has ended: nobody holds its resources for it."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


def container_of(attempt: AttemptId, step: int) -> AttemptId:
    """What the container of a step is called to the engine: as its attempt, with the number of every step but the first."""
    return AttemptId(f"{attempt}-{step}") if step else attempt


class Bind(NamedTuple):
    """A file or folder of this host and where a container has it, to read and write."""

    source: str
    path: str


class ContainerOrder(NamedTuple):
    """One container to start; `env` is complete, the directories become /input, /output, /tmp and /resource (read-only).

    `memory`: its limit in bytes, 0 for none; counts instead of the spec's. `devices`: what is set aside for it.
    `attempt`: see `container_of`. `binds`: what else it has. `stdin`: the file that it reads, empty for none; a file
    `stdin_note` is made once it has all of it. `before`: bytes that the files of its output hold already.
    `secrets`: the folder with the values of its secrets, empty if it names none.
    """

    attempt: AttemptId
    worker: str
    spec: TaskSpec
    env: dict[str, str]
    input_dir: str
    output_dir: str
    temp_dir: str
    resource_dir: str
    stdout: str
    stderr: str
    memory: int = 0
    devices: Devices = SHARED
    binds: tuple[Bind, ...] = ()
    workdir: str = ""
    stdin: str = ""
    stdin_note: str = ""
    before: tuple[int, int] = (0, 0)
    secrets: str = ""


class ContainerEnd(NamedTuple):
    """How a container ended. Memory in bytes, instants in Unix seconds; `exit_code` is 128+n after signal n.

    `image`: the digest of what ran, of a registry if it came from one, else the image's id.
    """

    exit_code: int
    oom: bool
    peak_memory: int
    cpu_seconds: float
    started_at: float
    ended_at: float
    image: str = ""


class Engines(NamedTuple):
    """Container engines that answered, and what is wrong with the others, each with its fix."""

    names: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class ContainerEngine(Protocol):
    """Runs containers labelled with their attempt and worker, so that a restarted agent finds them again.

    All calls but `probe` and `adopt` raise `ContainerError` when the engine refuses or is away. Signals to a container
    that is gone do nothing.
    """

    async def probe(self) -> Engines:
        """Who answers within 2 s, and then has 15 s to say what it is; never raises."""
        ...

    async def prepare(self, spec: TaskSpec) -> None:
        """Have the image here (part of staging); cause `image` with the registry's words if that fails."""
        ...

    async def digest(self, spec: TaskSpec) -> str:
        """Of the image that a container of this spec would run now; cause `image` if it is not there."""
        ...

    async def start(self, order: ContainerOrder) -> float:
        """Create and start; the instant it runs. Started already under this attempt: the same instant again."""
        ...

    async def wait(self, attempt: AttemptId) -> ContainerEnd:
        """Its end, with all output in the files of its order; also for a container that ended before the call."""
        ...

    async def signal(self, attempt: AttemptId, signum: int) -> None:
        """Send one Unix signal to the container's first process."""
        ...

    async def pause(self, attempt: AttemptId) -> None:
        """Freeze all its processes."""
        ...

    async def unpause(self, attempt: AttemptId) -> None:
        """Undo `pause`."""
        ...

    async def stop(self, attempt: AttemptId, grace: float, signum: int = 15) -> None:
        """This signal, and SIGKILL after `grace` seconds."""
        ...

    async def kill(self, attempt: AttemptId) -> None:
        """SIGKILL."""
        ...

    async def adopt(self, worker: str) -> tuple[AttemptId, ...]:
        """Attempts of this worker that have a container, running or ended; empty if no engine answers."""
        ...

    async def forget(self, attempt: AttemptId) -> None:
        """Remove the container, killing it if need be; nothing happens if there is none."""
        ...

    async def prune(self, keep: Iterable[str]) -> tuple[str, int]:
        """Remove images that this agent brought and nobody uses, but for `keep`; (a line for people, bytes freed)."""
        ...

    async def close(self) -> None:
        """Let go of the connection; containers run on."""
        ...
