"""Names the api knows now, for completion: none if it does not answer. What must not enter: anything slow to import."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from longshore.reader import Reader

#: Tasks offered, the newest first.
_TASKS = 50


def tasks(incomplete: str) -> list[str]:
    """Ids of tasks, and `last`."""
    return ["last", *_known(incomplete, lambda reader: (task.id for task in reader.tasks(limit=_TASKS)))]


def batches(incomplete: str) -> list[str]:
    """Names of batches."""
    return _known(incomplete, lambda reader: (batch.name for batch in reader.batches()))


def workers(incomplete: str) -> list[str]:
    """Names of workers."""
    return _known(incomplete, lambda reader: (worker.name for worker in reader.workers()))


def causes(incomplete: str) -> list[str]:
    """Causes after which a task can be tried again."""
    from longshore.retries import CAUSES

    return sorted(cause for cause in CAUSES if cause.startswith(incomplete))


def anything(incomplete: str) -> list[str]:
    """Whatever may be asked about."""
    return [*tasks(incomplete), *batches(incomplete), *workers(incomplete)]


def _known(begun: str, ask: "Callable[[Reader], Iterable[str]]") -> list[str]:
    from longshore.cli.door import Door
    from longshore_common.errors import LongshoreError

    try:
        return sorted(name for name in ask(Door().reader) if name.startswith(begun))
    except LongshoreError:
        return []
