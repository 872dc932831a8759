"""Names of things, as derived types.

Ids come from the log: a submission is the stream sequence of its event, a task is `<submission>.<index>`, an attempt
is `<submission>.<index>.<n>`. Nothing here draws an id by chance, and nothing here does I/O.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NewType

from msgspec import Struct

from longshore_common.errors import BadInput

SubmissionId = NewType("SubmissionId", int)
TaskId = NewType("TaskId", str)
AttemptId = NewType("AttemptId", str)
WorkerId = NewType("WorkerId", str)
UserName = NewType("UserName", str)

#: Workers, users and batches' subject tokens: lower case, so that a name is one NATS token and one file name.
TOKEN = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class TaskRange(Struct, frozen=True, array_like=True, order=True):
    """The tasks `lo` to `hi` of one submission, both ends included, as ordinals from 0."""

    submission: SubmissionId
    lo: int
    hi: int

    def __len__(self) -> int:
        return self.hi - self.lo + 1

    def __str__(self) -> str:
        if self.lo == self.hi:
            return f"{self.submission}.{self.lo}"
        return f"{self.submission}.{self.lo}-{self.hi}"


def task_id(submission: int, index: int) -> TaskId:
    """`<submission>.<index>`, the index an ordinal from 0."""
    return TaskId(f"{submission}.{index}")


def attempt_id(submission: int, index: int, n: int) -> AttemptId:
    """`<submission>.<index>.<n>`, the attempts of a task counted from 1."""
    return AttemptId(f"{submission}.{index}.{n}")


def split_attempt(attempt: str) -> tuple[SubmissionId, int, int]:
    """(submission, index, n) of an attempt id; `BadInput` if it is none."""
    parts = attempt.split(".")
    if len(parts) != 3 or not all(p.isascii() and p.isdigit() for p in parts):
        raise BadInput(f"{attempt!r} is not an attempt id; it looks like 1204.17.2")
    return SubmissionId(int(parts[0])), int(parts[1]), int(parts[2])


def split_task(task: str) -> tuple[SubmissionId, int]:
    """(submission, index) of a task id; `BadInput` if it is none."""
    parts = task.split(".")
    if len(parts) != 2 or not all(p.isascii() and p.isdigit() for p in parts):
        raise BadInput(f"{task!r} is not a task id; it looks like 1204.17")
    return SubmissionId(int(parts[0])), int(parts[1])


def token(name: str, what: str) -> str:
    """`name` itself if it can be one token of a subject; `BadInput` naming the rule if not."""
    if not TOKEN.fullmatch(name):
        raise BadInput(
            f"{what} {name!r} is not usable: use 1-63 of a-z, 0-9, '-' and '_', beginning with a letter or digit"
        )
    return name


def ranges(submission: int, indices: Iterable[int]) -> Iterator[TaskRange]:
    """The fewest ranges that hold exactly these ordinals of one submission, in ascending order."""
    lo = hi = None
    for index in sorted(set(indices)):
        if hi is not None and lo is not None and index == hi + 1:
            hi = index
            continue
        if lo is not None and hi is not None:
            yield TaskRange(SubmissionId(submission), lo, hi)
        lo = hi = index
    if lo is not None and hi is not None:
        yield TaskRange(SubmissionId(submission), lo, hi)
