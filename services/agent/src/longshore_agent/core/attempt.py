"""One attempt of this host as the agent knows it, and what can be asked to be done to it.

What must not enter: what to do next (`attempts`).
"""

from typing import Final, Literal, NamedTuple

from msgspec import Struct

from longshore_common import events as e
from longshore_common.ids import AttemptId
from longshore_common.model import OutputFile, StepEnd, Wanted
from longshore_data.manifest import Origin

from .contract import SHARED, Devices

Phase = Literal["accepted", "staging", "ready", "launched", "running", "delivering", "delivered", "publishing"]
#: What `service` shall do to an attempt: `cancel` its transfer, `withdraw` it if its process has not started,
#: `terminate` (grace in seconds, 0 = at once; the signal's name, "" = SIGTERM), `freeze`, `thaw`, `send` (a signal's name).
Deed = Literal["cancel", "withdraw", "terminate", "freeze", "thaw", "send"]
#: Why an attempt ended that was stopped with a checkpoint.
EVICTED: Final = "it was stopped before its end; the next attempt goes on from its checkpoint, if it has one"
#: What is wanted of an attempt that shall run no longer.
OVER: Final = ("stop", "kill", "checkpoint")


class Published(NamedTuple):
    """Outputs of the succeeded attempt `source` in the folder `output`."""

    source: AttemptId
    output: str


class Attempt(Struct, kw_only=True, omit_defaults=True):
    """One attempt on this host; `order.starts` is empty, its own is `start`. Instants are Unix seconds."""

    id: AttemptId
    order: e.Order
    start: e.Start
    phase: Phase = "accepted"
    wanted: Wanted = "run"
    recalled: bool = False
    granted: bool = False
    place: str = ""
    staging_at: float | None = None
    started_at: float | None = None
    staged_bytes: int = 0
    result: e.Ended | None = None
    files: tuple[OutputFile, ...] = ()
    delivered_bytes: int = 0
    devices: Devices = SHARED
    origin: Origin = Origin()
    digest: str = ""
    reuses: Published | None = None
    steps: tuple[StepEnd, ...] = ()  # those that ended

    @property
    def contained(self) -> bool:
        """Runs in a container."""
        return self.order.spec.container is not None

    def unwanted(self) -> bool:
        """It shall run no longer."""
        return self.wanted in OVER

    @property
    def stages(self) -> bool:
        """Has something to fetch before it can run."""
        spec = self.order.spec
        resumes = spec.checkpoint and spec.output and self.start.n > 1
        return bool(spec.inputs or spec.resources or spec.container or resumes)


class Act(NamedTuple):
    """Something to do to an attempt that is not simply its next phase."""

    deed: Deed
    attempt: Attempt
    grace: float = 0
    signal: str = ""


def changed(result: e.Ended, **fields: object) -> e.Ended:
    """A result with some fields replaced."""
    known = {name: getattr(result, name) for name in result.__struct_fields__}
    return e.Ended(**{**known, **fields})
