"""What the dispatcher writes to one worker (`log.dispatch.<worker>.…`): work and signals, complete in themselves.

What must not enter: what others than that worker act on.
"""

from msgspec import Struct

from longshore_common.events.base import Event
from longshore_common.ids import AttemptId, SubmissionId
from longshore_common.model import Care, Swept, TaskSpec, Wanted


class Start(Struct, frozen=True, array_like=True):
    """One attempt of an order: task ordinal, attempt number, `LONGSHORE_INDEX`, `LONGSHORE_ENTRY`.

    `memory` > 0: bytes that count instead of the spec's, after an earlier attempt ran out of them.
    """

    index: int
    n: int
    label: int = 0
    entry: str = ""
    memory: int = 0


class Order(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Attempts of one submission that share a spec: complete, nothing is looked up.

    `publish_of` > 0: do not run; the outputs of that earlier attempt were granted publication, finish publishing them.
    """

    submission: SubmissionId
    spec: TaskSpec
    batch: str
    user: str
    starts: tuple[Start, ...]
    publish_of: int = 0


class Reuse(Struct, frozen=True, array_like=True):
    """An attempt that need not run if outputs of the succeeded attempt `source`, published to `output`, are still as told."""

    attempt: AttemptId
    source: str = ""
    output: str = ""


class AttemptsAssigned(Event, frozen=True):
    """The worker shall run these. They are the current attempts of their tasks from here on."""

    orders: tuple[Order, ...]


class AttemptsRecalled(Event, frozen=True):
    """Give these back if they do not run yet; the worker answers with outcome `recalled`, or by going on."""

    attempts: tuple[AttemptId, ...]


class AttemptsSignalled(Event, frozen=True):
    """The wanted state of these attempts. With `signal`, send that signal to the process once instead.

    `request` is the user's wish behind it, 0 if there is none; the wish is answered by the first event that names it
    without `more`.
    """

    attempts: tuple[AttemptId, ...]
    wanted: Wanted
    signal: str | None = None
    request: int = 0
    more: bool = False


class WorkerPaused(Event, frozen=True):
    """Nothing is assigned to the worker until `worker-resumed`; what it holds and does not run is recalled."""

    request: int = 0
    more: bool = False
    drain: bool = False
    reason: str = ""


class WorkerResumed(Event, frozen=True):
    """The worker is assigned work again."""

    request: int = 0
    more: bool = False


class WorkerResized(Event, frozen=True):
    """The worker's slots and prefetch from here on, see `WorkerJoined`."""

    concurrency: int
    prefetch: int = -1
    request: int = 0
    more: bool = False
    prefetch_percent: int = 0


class WorkerMoved(Event, frozen=True):
    """The worker serves this batch from here on, `*` = any; what it holds of others it finishes."""

    batch: str
    request: int = 0
    more: bool = False


class WorkerQuarantined(Event, frozen=True):
    """Too many different tasks failed fast there: nothing is assigned until `until` (Unix seconds), then one task to probe.

    `pause`: seconds by which `until` was ahead of the dispatcher's clock; doubled each time a probe fails.
    """

    reason: str
    until: float
    pause: float = 0


class WorkerTrusted(Event, frozen=True):
    """The worker left quarantine: a probe went well, or somebody resumed it (`request`)."""

    reason: str = ""
    request: int = 0
    more: bool = False


class AttemptsReused(Event, frozen=True):
    """The answer to `identified`: how these attempts can be had without being run, see `Reuse`; no `source`: run it."""

    attempts: tuple[Reuse, ...]


class WorkerCareOrdered(Event, frozen=True):
    """The worker shall do this for its host; it answers with `worker-cared` that names `request`."""

    care: Care
    request: int = 0
    more: bool = False


class RemotesGiven(Event, frozen=True):
    """The worker's storage configuration from here on: the box that its owner sealed for this worker."""

    box: str
    request: int = 0
    more: bool = False


class SweepOrdered(Event, frozen=True):
    """The worker shall remove this of these ended tasks, and answer with `sweep-done`; a start's `n` is the last attempt."""

    what: Swept
    orders: tuple[Order, ...]


class WorkerLost(Event, frozen=True):
    """The worker fell silent or left: its attempts are `lost`. It may join again."""

    reason: str


class SecretGiven(Event, frozen=True):
    """The secret `name` of this user, sealed for the worker it is addressed to; no box: forget it."""

    owner: str
    name: str
    box: str = ""
    request: int = 0
    more: bool = False
