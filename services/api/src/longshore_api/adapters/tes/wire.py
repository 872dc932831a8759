"""What clients of TES 1.1 send: null stands for what is not said, unknown and read-only fields are passed over.

What must not enter: what is made of it.
"""

from typing import Final

import msgspec

from longshore_common.damage import DAMAGED
from longshore_common.errors import BadInput

Scalar = str | int | float | bool | None


class Executor(msgspec.Struct, frozen=True, omit_defaults=True):
    """One command in a container of its own."""

    image: str
    command: tuple[str, ...]
    workdir: str | None = None
    stdin: str | None = None
    stdout: str | None = None
    stderr: str | None = None
    env: dict[str, str | None] | None = None
    ignore_error: bool | None = None


class Input(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is there before the first executor, from `url` or as `content` says."""

    path: str
    url: str | None = None
    content: str | None = None
    type: str | None = None
    name: str | None = None
    description: str | None = None
    streamable: bool | None = None


class Output(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is uploaded after the last executor."""

    path: str
    url: str
    path_prefix: str | None = None
    type: str | None = None
    name: str | None = None
    description: str | None = None


class Resources(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a host must have; sizes in units of 10^9 bytes."""

    cpu_cores: int | float | None = None
    ram_gb: float | None = None
    disk_gb: float | None = None
    preemptible: bool | None = None
    zones: tuple[str, ...] | None = None
    backend_parameters: dict[str, Scalar] | None = None
    backend_parameters_strict: bool | None = None


class Task(msgspec.Struct, frozen=True, omit_defaults=True):
    """A task to be created."""

    executors: tuple[Executor, ...]
    name: str | None = None
    description: str | None = None
    inputs: tuple[Input, ...] | None = None
    outputs: tuple[Output, ...] | None = None
    resources: Resources | None = None
    volumes: tuple[str, ...] | None = None
    tags: dict[str, str | None] | None = None


_decode: Final = msgspec.json.Decoder(Task).decode


def read(body: bytes) -> Task:
    """The task in a body; `BadInput` names the field that is wrong."""
    try:
        return _decode(body)
    except DAMAGED as err:
        raise BadInput(f"the body is no TES task: {err}") from err
