"""What a supervisor is told to run, and what it says about it; both know nothing of NATS, PostgreSQL or our services."""

from typing import Literal

from msgspec import Struct

from longshore_infra.supervisor.identity import Identity

PartState = Literal["running", "backing-off", "stopping", "stopped"]
LineFormat = Literal["json", "nats", "postgres"]


class Part(Struct, frozen=True, kw_only=True):
    """One process to keep running. Parts stop in ascending `stop_order`, those of one order together."""

    name: str
    command: list[str]
    env: dict[str, str]
    cwd: str
    stop_order: int
    stop_signal: int = 15
    patience: float = 5.0  # seconds from stop_signal to SIGKILL
    lines: LineFormat = "json"
    own_group: bool = True  # what is left of its process group is killed when it dies


class Plan(Struct, frozen=True, kw_only=True):
    """The parts in the order of starting, the directory of their logs, the file to report to.

    `attached`: stop when the parent that sent this plan is gone.
    """

    logs: str
    report: str
    parts: list[Part]
    attached: bool


class PartReport(Struct, frozen=True, kw_only=True):
    """A part as it is. `since`: Unix seconds of the last change of state; `identity` is None while it does not run."""

    name: str
    state: PartState
    since: float
    restarts: int = 0
    last_exit: str = ""
    identity: Identity | None = None


class Report(Struct, frozen=True, kw_only=True):
    """What the supervisor last wrote to the file its plan names."""

    supervisor: Identity
    parts: list[PartReport]
