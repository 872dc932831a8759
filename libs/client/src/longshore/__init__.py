"""What users hold: the SDK and the command line; it reads no log and decides nothing.

    with longshore.Client() as client:
        done = client.wait(client.submit(["sh", "-c", "echo hello"]))

Names are imported when first used, so that the command line pays only for what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from longshore.client import AsyncClient as AsyncClient
    from longshore.editing import Replacement as Replacement
    from longshore.records import Attempt as Attempt
    from longshore.records import Batch as Batch
    from longshore.records import Explanation as Explanation
    from longshore.records import HistoryEntry as HistoryEntry
    from longshore.records import Progress as Progress
    from longshore.records import Submission as Submission
    from longshore.records import Submitted as Submitted
    from longshore.records import Task as Task
    from longshore.records import Worker as Worker
    from longshore.showing import Rows as Rows
    from longshore.sync import Client as Client
    from longshore_common.errors import BadInput as BadInput
    from longshore_common.errors import Conflict as Conflict
    from longshore_common.errors import LongshoreError as LongshoreError
    from longshore_common.errors import NotFound as NotFound
    from longshore_common.errors import Refused as Refused
    from longshore_common.errors import Unreachable as Unreachable
    from longshore_common.ties import Graph as Graph

__version__: Final = "0.1.0"

_HOMES: Final = {
    "longshore.client": ("AsyncClient",),
    "longshore.editing": ("Replacement",),
    "longshore.showing": ("Rows",),
    "longshore.sync": ("Client",),
    "longshore_common.ties": ("Graph",),
    "longshore.records": (
        "Attempt", "Batch", "Explanation", "HistoryEntry", "Progress", "Submission", "Submitted", "Task", "Worker",
    ),
    "longshore_common.errors": ("BadInput", "Conflict", "LongshoreError", "NotFound", "Refused", "Unreachable"),
}  # fmt: skip


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'longshore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(name for names in _HOMES.values() for name in names)
