"""Many tasks from the lines of a file: a spec of JSON each, or an entry of an array. Reading files is the caller's.

What must not enter: what a spec may be (`specs`).
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from longshore.specs import checked, tied_of
from longshore_common.damage import DAMAGED
from longshore_common.errors import BadInput
from longshore_common.model import TaskSpec
from longshore_common.ties import Tied, of_line


def from_json_lines(lines: Iterable[bytes], defaults: dict[str, Any]) -> Iterator[TaskSpec | Tied]:
    """A spec per line, or of one array of objects; lazily. `BadInput` gives the number of the line that is wrong.

    A line may have an `id` of its own and name those that it `requires`.
    """
    rest = iter(lines)
    for number, whole in enumerate(rest, 1):
        line = whole.strip()
        if not line:
            continue
        if line.startswith(b"["):
            if number > 1:
                raise BadInput(f"line {number}: an array of tasks stands alone in its file")
            yield from _from_array(b"\n".join([line, *rest]), defaults)
            return
        try:
            if not defaults:
                try:
                    yield _plain(line, number)
                    continue
                except DAMAGED:
                    pass  # convenient spellings, or an error with a better text, below
            yield tied_of(_object(line), defaults, f"line {number}")
        except BadInput as err:
            raise BadInput(f"line {number}: {err}") from err


_decode: Final = msgspec.json.Decoder(TaskSpec).decode


def _plain(line: bytes, number: int) -> TaskSpec | Tied:
    """A line in which everything is spelled as in a spec; msgspec's errors if not."""
    if b'"id"' in line or b'"requires"' in line:
        tied = of_line(line, f"line {number}")
        checked(tied.spec)
        return tied
    return checked(_decode(line))


def _object(line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except DAMAGED as err:
        raise BadInput(f"{line[:80]!r} is no JSON object ({err})") from err


def _from_array(text: bytes, defaults: dict[str, Any]) -> Iterator[TaskSpec | Tied]:
    try:
        tasks = msgspec.json.decode(text, type=list[dict[str, Any]])
    except DAMAGED as err:
        raise BadInput(f"the file is no array of task objects: {err}") from err
    for position, task in enumerate(tasks):
        try:
            yield tied_of(task, defaults, f"task {position} of the array")
        except BadInput as err:
            raise BadInput(f"task {position} of the array: {err}") from err


def entries(lines: Iterable[bytes]) -> list[str]:
    """The lines without their ends; an error shows the line that is not UTF-8 or holds NUL."""
    found = []
    for number, line in enumerate(lines, 1):
        try:
            text = line.rstrip(b"\n").removesuffix(b"\r").decode()
        except UnicodeDecodeError as err:
            raise BadInput(f"line {number} is not UTF-8 ({err.reason}): convert the file first") from err
        if "\0" in text:
            raise BadInput(f"line {number} holds a NUL character: is this a text file?")
        found.append(text)
    if not found:
        raise BadInput("the file has no lines, so there are no tasks")
    return found
