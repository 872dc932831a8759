"""A preview on the screen: how many tasks would become what, and examples before and after as a diff."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from longshore.cli.printing import data, note, raw_lines
from longshore.records import Preview

if TYPE_CHECKING:
    from longshore.cli.door import Door
    from longshore.writer import Writer
    from longshore_common.events import Event

#: Seconds for which a dispatcher may lag behind this user's last write before its preview is taken as it is.
_CATCH_UP = 2.0


def show(door: "Door", wishes: "Sequence[Event]", *, as_json: bool) -> int:
    """What these wishes would do; 1 if all of it would be refused."""
    found = [door.write(_asked(door, wish)) for wish in wishes]
    if as_json:
        raw_lines(msgspec.json.encode(one) for one in found)
    else:
        for one in found:
            _print(one)
    return 0 if any(one.outcomes for one in found) else 1


def _asked(door: "Door", wish: "Event") -> Any:
    async def asking(writer: "Writer") -> Preview:
        until = time.monotonic() + _CATCH_UP
        while True:
            answer = await writer.ask({"kind": "preview", "body": {"wish": wish}}, Preview)
            if answer.seq >= door.bookmark.seq or time.monotonic() > until:
                return answer
            await asyncio.sleep(0.02)

    return asking


def _print(preview: Preview) -> None:
    for outcome in preview.outcomes:
        data(f"{outcome.count} {outcome.text}")
    for sample in preview.samples:
        data(f"{sample.task}:")
        for line in _diff(sample.before, sample.after):
            data(f"  {line}")
    if preview.refused:
        note(f"would be refused: {preview.refused}")
    note("nothing was changed")


def _diff(before: dict[str, object], after: dict[str, object]) -> Iterator[str]:
    for field in {**before, **after}:
        if before.get(field) == after.get(field):
            continue
        if field in before:
            yield f"- {field}: {_shown(before[field])}"
        if field in after:
            yield f"+ {field}: {_shown(after[field])}"


def _shown(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
