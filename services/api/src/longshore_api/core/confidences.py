"""The fold of which worker was given which secret: one row each. What must not enter: boxes."""

from typing import Final

from longshore_api.core import archive
from longshore_api.core.memory import Memory
from longshore_common import confidential
from longshore_common import events as e
from longshore_common.log import Recorded

#: The kind of these rows; their name is `owner/name@worker`, their value whether the worker has it.
SECRET: Final = "secret"


def given(memory: Memory, record: Recorded, event: e.SecretGiven) -> None:
    """The worker it is addressed to was given it, or is to forget it."""
    name = f"{archive.clean(confidential.key(event.owner, event.name))}@{archive.addressee(record)}"
    value = "true" if event.box else "false"
    memory.changes.governing[(SECRET, name)] = (SECRET, name, value, record.seq, record.at, event.request)
