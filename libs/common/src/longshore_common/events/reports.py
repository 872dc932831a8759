"""What agents write. What must not enter: what is made of it."""

from typing import Literal

from msgspec import Struct

from longshore_common.events.base import Event
from longshore_common.ids import AttemptId
from longshore_common.model import (
    AttemptState,
    Care,
    Cause,
    Collected,
    HostFacts,
    Output,
    OutputFile,
    StepEnd,
    Usage,
)


class WorkerJoined(Event, frozen=True):
    """An agent is at work. `life` counts its starts; `held` are all attempts it still has, in whatever phase.

    `handled` is the last sequence of its subject that its journal holds: what was assigned up to there and is not in
    `held` is lost; what was assigned after it will still be read. What hinders the host, its end and the resources it
    keeps are told anew after it: nothing of that is known of a worker that just joined.
    `concurrency` -1 = automatic: what tasks request decides alone, and one that requests nothing counts as one cpu.
    `prefetch` -1 = automatic, unless `prefetch_percent` > 0: then so much of the slots, or of an automatic worker's host.
    """

    life: int
    facts: HostFacts
    concurrency: int
    prefetch: int = -1
    batch: str = "*"
    held: tuple[AttemptId, ...] = ()
    handled: int = 0
    prefetch_percent: int = 0


class Move(Struct, frozen=True, array_like=True):
    """An attempt entered a phase at an instant; `paused` tells if it is frozen, `reason` what keeps it in this phase.

    Told again for the same phase while a long transfer goes on: `done` of `total` bytes moved by `at` (0 = not known).
    """

    attempt: AttemptId
    state: AttemptState
    at: float
    paused: bool = False
    reason: str = ""
    done: int = 0
    total: int = 0


class Delivered(Struct, frozen=True, array_like=True):
    """The attempt's outputs are complete in its private prefix and it asks leave to publish them."""

    attempt: AttemptId
    files: tuple[OutputFile, ...] = ()


class Identified(Struct, frozen=True, array_like=True):
    """What the attempt computes, as a digest of its command, image, options and the identities of all its inputs.

    It asks whether that was computed before, and runs when it is told, or when nobody answers in time.
    """

    attempt: AttemptId
    digest: str


class Ended(Struct, frozen=True, array_like=True):
    """An attempt is over on its worker and holds nothing there any more, but its work directory if `kept`.

    `image`: digest of the image it ran in. `checkpoint`: it left one that the next attempt goes on from. `definite`: no
    other host and no later time would do better, such as for an input that does not exist.
    `digest`: see `Identified`. `reused`: its outputs are those of this attempt, it did not run. `steps`: those of its steps
    that ended, in order. `collected`: the first of what its collects uploaded; `files` counts all.
    """

    attempt: AttemptId
    outcome: Literal["succeeded", "failed", "cancelled", "recalled"]
    exit_code: int | None = None
    cause: Cause | None = None
    reason: str = ""
    usage: Usage = Usage()
    stdout: Output | None = None
    stderr: Output | None = None
    files: int = 0
    image: str = ""
    checkpoint: bool = False
    kept: bool = False
    definite: bool = False
    digest: str = ""
    output: str = ""
    reused: str = ""
    steps: tuple[StepEnd, ...] = ()
    collected: tuple[Collected, ...] = ()


class AttemptsReported(Event, frozen=True):
    """What happened on a worker in the last moments, in this order: moves, deliveries, ends. `n` counts a life's reports."""

    life: int
    n: int
    moved: tuple[Move, ...] = ()
    delivered: tuple[Delivered, ...] = ()
    ended: tuple[Ended, ...] = ()
    identified: tuple[Identified, ...] = ()


class WorkerHindered(Event, frozen=True):
    """The worker takes no more work for this reason, such as a disk that is nearly full; an empty one: it does again."""

    life: int
    reason: str = ""


class WorkerEvicted(Event, frozen=True):
    """The host will be taken away at instant `at`: assign nothing more; its attempts are being stopped with checkpoints."""

    life: int
    at: float
    reason: str = ""


class ResourcesHeld(Event, frozen=True):
    """All resources the host keeps, as `model.resource_key` of their URIs."""

    life: int
    held: tuple[str, ...] = ()


class WorkerCared(Event, frozen=True):
    """What came of a `worker-care-ordered` (`request` is its wish): one line for people, bytes that became free."""

    life: int
    care: Care
    request: int = 0
    text: str = ""
    freed: int = 0


class SweepDone(Event, frozen=True):
    """The worker removed what the `sweep-ordered` at sequence `order` names; what it could not, with the reason, in `left`."""

    life: int
    order: int
    removed: int = 0
    left: tuple[tuple[str, str], ...] = ()


class WorkerLeft(Event, frozen=True):
    """The agent stops for good and has stopped all it ran."""

    life: int
    reason: str = ""
