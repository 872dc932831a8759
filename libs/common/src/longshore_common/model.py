"""Values that cross borders, and the one table of states.

Plain frozen structs: no I/O, no clock, no decisions. Sizes are bytes, durations are seconds, instants are Unix seconds
(UTC) as float; the edges (CLI, HTTP) turn instants into ISO 8601.
"""

from hashlib import blake2b
from typing import Final, Literal, NamedTuple

from msgspec import Struct

State = Literal["waiting", "queued", "assigned", "staging", "running", "delivering", "succeeded", "failed", "cancelled"]
AttemptState = Literal[
    "assigned", "staging", "running", "delivering", "succeeded", "failed", "cancelled", "recalled", "lost", "superseded"
]
Cause = Literal[
    "exit", "oom", "disk-full", "timeout-staging", "timeout-running", "timeout-delivering", "stage-in", "image",
    "launch", "stage-out", "host", "worker-lost", "evicted", "operator", "requirement", "rejected",
]  # fmt: skip
#: What a signal event asks of an attempt. `publish` lets a delivered attempt make its outputs visible; `checkpoint` stops
#: it as an eviction would: its checkpoint is saved, it ends with cause `evicted`, and the next attempt goes on from there.
Wanted = Literal["run", "pause", "stop", "kill", "publish", "checkpoint"]
#: What a worker can be told to do for its host: remove kept work directories, forget cached resources, remove images that
#: no attempt uses, restart the agent's program (an upgrade; attempts go on).
Care = Literal["clean", "forget-resources", "prune-images", "restart", "doctor"]
#: What a sweep removes of ended tasks: published outputs and manifests, stored stdout and stderr, private prefixes of
#: failed and superseded attempts, inputs that were uploaded at submission.
Swept = Literal["outputs", "logs", "failed", "inputs"]
#: When an image is pulled: if the host has none of that name, at every attempt, or never.
Pull = Literal["missing", "always", "never"]
#: What a user may do: read; submit and steer what is one's own; everything.
UserRole = Literal["viewer", "user", "admin"]
#: What a user can be told of: a batch has ended, a batch has failed tasks, a batch has waited without an attempt running.
Occasion = Literal["finished", "failing", "stuck", "budget"]


class StateTraits(NamedTuple):
    """What a state means to the rest of the system."""

    terminal: bool = False
    holds_slot: bool = False
    on_worker: bool = False
    may_be_recalled: bool = False


#: The one table; every set of states in code is derived from it.
STATES: Final[dict[str, StateTraits]] = {
    "waiting": StateTraits(),
    "queued": StateTraits(),
    "assigned": StateTraits(on_worker=True, may_be_recalled=True),
    "staging": StateTraits(on_worker=True, may_be_recalled=True),
    "running": StateTraits(on_worker=True, holds_slot=True),
    "delivering": StateTraits(on_worker=True),
    "succeeded": StateTraits(terminal=True),
    "failed": StateTraits(terminal=True),
    "cancelled": StateTraits(terminal=True),
    # attempts only
    "recalled": StateTraits(terminal=True),
    "lost": StateTraits(terminal=True),
    "superseded": StateTraits(terminal=True),
}
TERMINAL: Final = frozenset(s for s, t in STATES.items() if t.terminal)
ON_WORKER: Final = frozenset(s for s, t in STATES.items() if t.on_worker)

#: Causes that are the task's own doing: only these spend its `retries`.
OWN_CAUSES: Final = frozenset[Cause]({"exit", "oom", "timeout-running"})
#: Causes that no retry can heal, so none is made.
FINAL_CAUSES: Final = frozenset[Cause]({"operator", "requirement", "rejected"})


class Request(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a task asks of a host: cores, bytes of memory and disk, GPUs, and amounts of resources named by the operator.

    One that asks for nothing asks for a slot.
    """

    cpus: float = 0
    memory: int = 0
    gpus: int = 0
    disk: int = 0
    custom: dict[str, float] = {}


class Step(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One of several commands that a task runs one after the other, each in a container of its own.

    `workdir`, `stdin`, `stdout`, `stderr` are absolute paths in the container, "" = none. After a step that failed the next
    ones do not run, unless it has `ignore_error`.
    """

    command: tuple[str, ...]
    container: str
    workdir: str = ""
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    env: dict[str, str] = {}
    ignore_error: bool = False


class Mount(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is staged from `uri` to the absolute path `path` in the containers of a task, private to it and writable."""

    uri: str
    path: str
    directory: bool = False


class Collect(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is uploaded to `uri` from the absolute path `path` in the containers of a task, once it ended, also if it failed.

    `path` may hold `*`, `?` and `[…]`: then `uri` is a folder, to which each match is added without `prefix`.
    `new`: without the files that are still as they were staged there.
    """

    path: str
    uri: str
    directory: bool = False
    prefix: str = ""
    new: bool = False


class TaskSpec(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a user asked to run; unchanged after submission.

    `command` is an argv and is never rewritten; `inputs`, `resources` and `output` are URIs in which `{index}`,
    `{entry}` and `{name}` (last path segment of the entry) are replaced per task. `shell`: run `command[0]` by
    `/bin/sh -c`, the rest as its positional parameters. Timeouts are seconds, 0 = none; `memory` and `disk` bytes.
    `custom`: amounts of resources that the operator named, such as `{"license": 1}`. `alternatives`: what it can make do
    with instead of its own cpus, memory, gpus, disk and custom, the most wanted first; an order names the one it got.
    `checkpoint`: a path below `$TEMP` that is saved when an attempt is interrupted and restored to the next one; needs
    `output`. `stop_signal` and `grace` (seconds): how it is asked to stop, and how long it is waited for.
    `retry_on`: attempts again at most after this cause, instead of `retries` or the policy's number. `retry_exits`: only
    these exit codes (first, last) are tried again, `fail_exits`: these never. `backoff`: seconds before the first of its
    retries, doubled each time.
    `steps`: what runs instead of `command` (which is the first step's, to be shown). `mounts`, `collects`: what is staged to
    and from absolute paths in its containers; `volumes`: empty folders there, shared by its steps.
    """

    command: tuple[str, ...]
    shell: bool = False
    name: str | None = None
    container: str | None = None
    container_options: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    output: str | None = None
    env: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    cpus: float = 0
    memory: int = 0
    gpus: int = 0
    disk: int = 0
    retries: int = 0
    run_timeout: float = 0
    download_timeout: float = 0
    upload_timeout: float = 0
    uid: int | None = None
    gid: int | None = None
    use_cache: bool = False
    checkpoint: str = ""
    stop_signal: str = ""
    grace: float = 10
    pull: Pull = "missing"
    custom: dict[str, float] = {}
    alternatives: tuple[Request, ...] = ()
    retry_on: dict[str, int] = {}
    retry_exits: tuple[tuple[int, int], ...] = ()
    fail_exits: tuple[tuple[int, int], ...] = ()
    backoff: float = 0
    steps: tuple[Step, ...] = ()
    mounts: tuple[Mount, ...] = ()
    collects: tuple[Collect, ...] = ()
    volumes: tuple[str, ...] = ()


class Array(Struct, frozen=True, kw_only=True, tag="array", omit_defaults=True):
    """`size` tasks of one spec; task k has `LONGSHORE_INDEX = start + k*step` and `LONGSHORE_ENTRY = entries[k]`."""

    spec: TaskSpec
    size: int
    start: int = 0
    step: int = 1
    entries: tuple[str, ...] = ()


#: (dependent, required) ordinals in one submission.
Edge = tuple[int, int]


class Specs(Struct, frozen=True, kw_only=True, tag="specs", omit_defaults=True):
    """Different tasks, one spec each, in order. `edges`: which of them require which others."""

    specs: tuple[TaskSpec, ...]
    edges: tuple[Edge, ...] = ()


class Parts(Struct, frozen=True, kw_only=True, tag="parts", omit_defaults=True):
    """Different tasks that came before as `submission-part-sent` events with this submission's key: all, or nothing.

    `edges`: how many the parts bring.
    """

    parts: int
    size: int
    edges: int = 0


Body = Array | Specs | Parts


class Usage(Struct, frozen=True, array_like=True):
    """What an attempt used. Instants are Unix seconds, None where a phase was not reached; sizes are bytes."""

    staging_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    finished_at: float | None = None
    peak_memory: int = 0
    cpu_seconds: float = 0
    read_bytes: int = 0
    written_bytes: int = 0
    staged_bytes: int = 0
    delivered_bytes: int = 0


class Output(Struct, frozen=True, array_like=True):
    """One stream (stdout or stderr) of an ended attempt.

    `tail`: the last 4 KiB at most, as text (invalid UTF-8 replaced) or, where that would lose bytes, base64 with
    `encoded`. `stored`: the object that holds all of it, empty if the tail is all there is.
    """

    size: int = 0
    tail: str = ""
    encoded: bool = False
    digest: str = ""
    stored: str = ""


class OutputFile(Struct, frozen=True, array_like=True):
    """A delivered file: path relative to the task's output, size in bytes, sha256 in hex."""

    path: str
    size: int
    digest: str


class StepEnd(Struct, frozen=True, array_like=True):
    """How one step of a task ended: its exit code (128+n after signal n), Unix seconds, bytes.

    `stdout`, `stderr`: how many bytes of the attempt's output are this step's, which begin where the step before ended.
    `cause`: what else than itself ended it (`oom`, `timeout-running`).
    """

    exit_code: int
    started_at: float
    ended_at: float
    stdout: int = 0
    stderr: int = 0
    peak_memory: int = 0
    cpu_seconds: float = 0
    image: str = ""
    cause: Cause | None = None


class Collected(Struct, frozen=True, array_like=True):
    """A file that a collect uploaded: its path in the containers, where to, bytes, sha256 in hex."""

    path: str
    uri: str
    size: int
    digest: str = ""


def resource_key(uri: str) -> str:
    """The name under which workers tell that they hold the resource `uri`: 16 hex digits of its BLAKE2 digest."""
    return blake2b(uri.encode(), digest_size=8).hexdigest()


class HostFacts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker's host offers. `engines`: container engines that answered; `problems`: what is missing, and the fix.

    `gpu_names`: model of each GPU; `numa`: NUMA nodes; `schemes`: remotes that are schemes there besides the built-in ones.
    `custom`: amounts of resources that the operator named. `secrets`: what it holds and can open, as `owner/name`.
    """

    hostname: str = ""
    cpus: int = 1
    memory: int = 0
    disk: int = 0
    gpus: int = 0
    engines: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    agent_version: str = ""
    gpu_names: tuple[str, ...] = ()
    numa: int = 1
    schemes: tuple[str, ...] = ()
    custom: dict[str, float] = {}
    secrets: tuple[str, ...] = ()


class Retention(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """For how many seconds after a task ended its things are kept; 0 = for ever. See `Swept`."""

    outputs: float = 0
    logs: float = 0
    failed: float = 0
    inputs: float = 0


class Share(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a batch or user gets beside others: `weight` of its share (1 = as any other), tasks on workers at once (0 = any)."""

    weight: float = 1
    max_running: int = 0


class Policy(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the operator decides for all; see `longshore policy show`. Times are seconds.

    `half_life`: after it, past use counts half in the fair share. `trouble`: attempts again per infrastructure cause
    (`*` = any other). `first_wait`, `longest_wait`: back-off after trouble, doubled each time. `breaker_failures` of
    different tasks within `breaker_window`, each within `breaker_fast` of its start, put a worker into quarantine for
    `breaker_pause` (doubled while probes fail); 0 failures = never.
    """

    half_life: float = 604_800
    trouble: dict[str, int] = {}
    first_wait: float = 1
    longest_wait: float = 300
    breaker_failures: int = 5
    breaker_window: float = 600
    breaker_fast: float = 30
    breaker_pause: float = 300


class Substitution(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Replace `find` by `replace` wherever it stands in this field: of commands, inputs, resources in each word."""

    field: Literal["command", "container", "inputs", "resources", "output", "env", "name"]
    find: str
    replace: str = ""


class Change(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An edit of tasks: fields set to JSON values (by name of `TaskSpec`, `null` = the default), then substitutions.

    `env.NAME` and `custom.NAME` set one entry of these (`null` removes it).
    """

    set: dict[str, object] = {}
    substitutions: tuple[Substitution, ...] = ()


class Notification(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whom to tell of what: of batches whose name matches the glob `batch`, at a webhook, by mail, or both.

    `failing`: so many failed tasks are an occasion; `stuck`: so many seconds without any on a worker; `budget`: so many
    seconds that attempts of the batch ran, all together.
    """

    occasions: tuple[Occasion, ...]
    batch: str = "*"
    webhook: str = ""
    mail: str = ""
    failing: int = 1
    stuck: float = 3600
    budget: float = 0
