"""Tasks of one submission that require others of it, by name or by ordinal, and the edges that come of it. Pure.

A task may require one that comes after it: its edge then goes with a later part. What must not enter: what tasks run.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from longshore_common.errors import BadInput
from longshore_common.model import Edge, TaskSpec


class Tied(NamedTuple):
    """A task with the name that others of its submission know it by, and the names or ordinals (from 0) it requires.

    `where`: the line or place it was read from, for those who look for a mistake.
    """

    spec: TaskSpec
    name: str | None = None
    requires: tuple[str | int, ...] = ()
    where: str = ""


class Line(TaskSpec, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A task as it is written in one line, with its ties."""

    id: str | None = None
    requires: tuple[str | int, ...] = ()


_set: Final = msgspec.structs.force_setattr
_line: Final = msgspec.json.Decoder(Line).decode


def of_line(text: bytes, where: str) -> Tied:
    """The task of one line and its ties; msgspec's errors if it is none."""
    line = _line(text)
    name, requires = line.id, line.requires
    # what is left is a plain spec, to the byte: making it anew from its fields would cost more than reading it did
    _set(line, "id", None)
    _set(line, "requires", ())
    return Tied(line, name, requires, where)


def parted(task: Mapping[str, Any]) -> tuple[dict[str, Any], str | None, tuple[str | int, ...]]:
    """(what the task runs, its name, what it requires) of an object; `BadInput` if the ties are none."""
    rest = dict(task)
    name, requires = rest.pop("id", None), rest.pop("requires", ())
    if isinstance(requires, str | int):
        requires = (requires,)
    try:
        return rest, msgspec.convert(name, str | None), msgspec.convert(requires, tuple[str | int, ...])
    except msgspec.ValidationError as err:
        raise BadInput(f"a task's id is a text, and its requires a list of ids or ordinals: {err}") from err


class Names:
    """The names of tasks so far, and the edges that wait for names to come."""

    def __init__(self) -> None:
        self.count = 0
        self._ordinals: dict[str, int] = {}
        self._later: list[tuple[int, str, str]] = []

    def add(self, tasks: Sequence[TaskSpec | Tied], edges: list[Edge]) -> None:
        """These are the next tasks: their edges, as far as they can be told now; `BadInput` if a name is there already."""
        for me, task in enumerate(tasks, self.count):
            if type(task) is not Tied:
                continue
            if task.name is not None and self._ordinals.setdefault(task.name, me) != me:
                first = self._ordinals[task.name]
                raise BadInput(f"{_of(task, me)}: the id {task.name!r} is that of task {first}: give it another")
            for required in task.requires:
                self._edge(me, task, required, edges)
        self.count += len(tasks)

    def _edge(self, me: int, task: Tied, required: str | int, edges: list[Edge]) -> None:
        ordinal = required if isinstance(required, int) else self._ordinals.get(required)
        if ordinal is None:
            self._later.append((me, str(required), task.where))
        elif ordinal == me or ordinal < 0:
            raise BadInput(f"{_of(task, me)}: it requires {required!r}: {_wrong(ordinal)}")
        else:
            edges.append((me, ordinal))

    def rest(self) -> Iterator[Edge]:
        """The edges to tasks that came later; `BadInput` for names that never came."""
        for dependent, name, where in self._later:
            ordinal = self._ordinals.get(name)
            if ordinal is None:
                raise BadInput(
                    f"{where or f'task {dependent}'}: it requires {name!r}, and no task here has that id: correct it, "
                    "or require tasks of other submissions for all by --requires"
                )
            yield dependent, ordinal


def _of(task: Tied, ordinal: int) -> str:
    return task.where or f"task {ordinal}"


def _wrong(ordinal: int) -> str:
    return "ordinals count from 0" if ordinal < 0 else "that is the task itself, which could never start"


class Graph:
    """Tasks and what they require, to be given to `submit_many`; they are kept in memory until then.

    graph = Graph()
    parts = [graph.add(["fit", str(k)]) for k in range(10)]
    graph.add(["join"], requires=parts, memory="4G")
    """

    def __init__(self) -> None:
        self._tasks: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._tasks)

    def add(self, command: Sequence[str] | str, *, requires: Sequence[int] = (), **options: Any) -> int:
        """One more task, which requires those added before under these ordinals; its own ordinal, from 0."""
        self._tasks.append({"command": command, "requires": tuple(requires), **options})
        return len(self._tasks) - 1
