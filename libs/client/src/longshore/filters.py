"""Wishes over a filter: the tasks are found by the api as ranges, and named in as many wishes as it takes.

What must not enter: what is wished.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from longshore.reader import Reader
from longshore_common.errors import BadInput, NotFound
from longshore_common.ids import TaskRange

#: Ranges named by one wish at most; it must fit in a message.
PER_WISH: Final = 20_000


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks; None = any. `name` may hold `*` and `?`; states and causes are separated by commas."""

    batch: str | None = None
    state: str | None = None
    name: str | None = None
    cause: str | None = None
    worker: str | None = None
    exit_code: int | None = None
    submission: int | None = None

    @property
    def narrow(self) -> bool:
        """Whether it says more than a batch."""
        return any(getattr(self, field) is not None for field in self.__struct_fields__ if field != "batch")


class Found(msgspec.Struct):
    """The answer of the api."""

    items: tuple[TaskRange, ...]
    count: int
    whole: bool = True


def ranges(reader: Reader, chosen: Filter, user: str, within: Sequence[TaskRange] = ()) -> tuple[TaskRange, ...]:
    """This user's tasks that the filter admits, of those `within` if any are named; `NotFound` if there are none."""
    query = {**msgspec.structs.asdict(chosen), "user": user, "ids": ",".join(map(str, within)) or None}
    found = msgspec.json.decode(reader.get("/tasks/ranges", query).body, type=Found)
    if not found.whole:
        raise BadInput(f"these are more than {len(found.items)} separate ranges of tasks: narrow the filter")
    if not found.items:
        raise NotFound("none of your tasks is so: see `longshore task list` with the same filters")
    return found.items


def chunks(tasks: Sequence[TaskRange]) -> Iterator[tuple[TaskRange, ...]]:
    """As many as one wish may name."""
    for at in range(0, len(tasks), PER_WISH):
        yield tuple(tasks[at : at + PER_WISH])
