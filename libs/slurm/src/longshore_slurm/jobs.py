"""Jobs: tasks of the read model under the numbers that Slurm gives jobs, and how those numbers are read.

A job that is no array has its submission's number, `1204`. Element 7 of an array is `1204_7`, and has a number of its own
(see `jobscript.number`) where a single one is needed. What must not enter: what is printed.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, Unpack

import msgspec

from longshore.filters import Found
from longshore.reader import Reader, TaskFilters
from longshore.records import Task
from longshore_common.errors import BadInput, NotFound
from longshore_common.ids import SubmissionId, TaskRange
from longshore_slurm import amounts, states
from longshore_slurm.jobscript import Job as Shape
from longshore_slurm.jobscript import number, of_command, split_number

_WORD: Final = re.compile(r"(\d+)(?:_(?:(\d+)|\[([0-9,:%-]+)\]|\*))?(?:[.+].*)?")
#: Tasks that one request names at most.
_PER_REQUEST: Final = 500


class Named(NamedTuple):
    """What a word names: a whole job, or elements of it by their numbers in the array, or one task by its ordinal."""

    submission: int
    elements: tuple[int, ...] = ()
    ordinal: int | None = None


class Job(NamedTuple):
    """A task as a job; `shape` is None for what was not submitted by these commands.

    With `until` it stands for all elements of its array up to that ordinal, which are in the same state.
    """

    task: Task
    shape: Shape | None
    until: int | None = None

    @property
    def state(self) -> states.Said:
        """Its state in Slurm's words."""
        return states.said(self.task)

    @property
    def array(self) -> bool:
        """Whether it is an element of an array."""
        return bool(self.shape.array) if self.shape else self.task.index > 0

    @property
    def element(self) -> int:
        """Its number in the array."""
        return int(self.task.entry) if self.shape and self.task.entry else int(self.task.label or 0)

    @property
    def id(self) -> str:
        """`1204`, `1204_7`, or `1204_[7-9]` for several elements."""
        if self.until is not None:
            return f"{self.task.submission}_[{self._elements(self.until)}]"
        return f"{self.task.submission}_{self.element}" if self.array else str(self.task.submission)

    def _elements(self, until: int) -> str:
        first = self.task.index
        if self.shape is None:
            return f"{self.element}-{self.element + until - first}"
        indices = amounts.indices(self.shape.array)
        if indices.listed:
            return ",".join(map(str, indices.listed[first : until + 1]))
        step = f":{indices.step}" if indices.step > 1 else ""
        return f"{self.element}-{indices.start + until * indices.step}{step}"

    @property
    def number(self) -> int:
        """One number, its own."""
        return number(self.task.submission, self.task.index) if self.array else self.task.submission

    def fact(self, name: str) -> str:
        """What its submitter said of it, "" for nothing."""
        return self.shape.facts.get(name, "") if self.shape else ""

    def amount(self, name: str) -> int:
        """The same as a number, 0 for nothing."""
        text = self.fact(name)
        return int(text) if text.isdigit() else 0

    @property
    def name(self) -> str:
        """What it is called."""
        return self.task.name or (self.task.command[0].rpartition("/")[2] if self.task.command else "")


def job(task: Task) -> Job:
    """The task as a job."""
    return Job(task, of_command(task.command))


def named(word: str) -> Named:
    """`1204`, `1204_7`, `1204_[1-3]`, `1204.batch`, or an element's own number; `BadInput` for anything else."""
    found = _WORD.fullmatch(word.strip())
    if not found:
        raise BadInput(f"Invalid job id {word!r}")
    base = int(found[1])
    if found[3]:
        listed = amounts.indices(found[3])
        elements = listed.listed or tuple(range(listed.start, listed.highest + 1, listed.step))
        return Named(base, elements)
    if found[2] is not None:
        return Named(base, (int(found[2]),))
    if split := split_number(base):
        return Named(split[0], ordinal=split[1])
    return Named(base)


def ranges(reader: Reader, words: Iterable[str]) -> tuple[TaskRange, ...]:
    """The tasks that these words name; `NotFound` if there is no such job."""
    return tuple(one for word in words for one in _ranges(reader, named(word)))


def _ranges(reader: Reader, one: Named) -> Iterator[TaskRange]:
    submission = SubmissionId(one.submission)
    if one.ordinal is not None:
        yield TaskRange(submission, one.ordinal, one.ordinal)
    elif not one.elements:
        yield TaskRange(submission, 0, reader.size_of(one.submission) - 1)
    else:
        for element in one.elements:
            ordinal = _ordinal(reader, one.submission, element)
            yield TaskRange(submission, ordinal, ordinal)


def _ordinal(reader: Reader, submission: int, element: int) -> int:
    """Where an element stands in its array: its first task tells how the array was written."""
    first = job(reader.task(f"{submission}.0"))
    indices = amounts.indices(first.shape.array if first.shape and first.shape.array else "0")
    if first.shape is None:
        return element
    numbers = indices.listed or range(indices.start, indices.highest + 1, indices.step)
    try:
        return numbers.index(element)
    except ValueError:
        raise NotFound(f"Invalid job id specified: {submission} has no element {element}") from None


def of_words(reader: Reader, words: Iterable[str]) -> Iterator[Job]:
    """The jobs that these words name, those that are there; a word that names nothing is passed over."""
    found: list[TaskRange] = []
    for word in words:
        try:
            found += ranges(reader, [word])
        except NotFound:
            continue
    for at in range(0, len(found), _PER_REQUEST):
        ids = ",".join(map(str, found[at : at + _PER_REQUEST]))
        yield from map(job, reader.tasks(ids=ids))


def condensed(reader: Reader, **filters: Unpack[TaskFilters]) -> Iterator[Job]:
    """Jobs by filters, elements of an array that stand side by side as one."""
    found = msgspec.json.decode(reader.get("/tasks/ranges", dict(filters)).body, type=Found).items
    for at in range(0, len(found), _PER_REQUEST):
        runs = {(one.submission, one.lo): one.hi for one in found[at : at + _PER_REQUEST]}
        ids = ",".join(f"{submission}.{lo}" for submission, lo in runs)
        for task in reader.tasks(ids=ids):
            until = runs.get((SubmissionId(task.submission), task.index), task.index)
            yield job(task)._replace(until=until if until > task.index else None)


def several(reader: Reader, *, limit: int | None = None, **filters: Unpack[TaskFilters]) -> Iterator[Job]:
    """Jobs by filters of tasks, the newest first."""
    return map(job, reader.tasks(limit=limit, **filters))
