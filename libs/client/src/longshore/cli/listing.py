"""Lists and records on the screen, or as the JSON that the api sent."""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, NamedTuple

from longshore.cli.printing import note, pairs, raw_lines, table
from longshore.reader import Reader, as_builtin


class Columns(NamedTuple):
    """Fields in order, and how to make those that are not plain."""

    fields: tuple[str, ...]
    made: Mapping[str, Callable[[dict[str, Any]], object]] = {}

    def row(self, record: dict[str, Any]) -> list[object]:
        """The cells of a record."""
        return [self.made[f](record) if f in self.made else record.get(f) for f in self.fields]


def show_list(  # noqa: PLR0913 -- what, how and how much of it, for every noun
    reader: Reader, path: str, query: Mapping[str, object], columns: Columns, limit: int | None, *, as_json: bool
) -> None:
    """All items, or the first `limit` and a note that there are more; a program that reads JSON asks for more by itself."""
    items = reader.raw_items(path, query, limit if limit is None or as_json else limit + 1)
    shown = items if limit is None else islice(items, limit)
    if as_json:
        raw_lines(bytes(item) for item in shown)
    else:
        table(columns.fields, (columns.row(as_builtin(item)) for item in shown))
    if limit is not None and not as_json and next(items, None) is not None:
        note(f"there are more than these {limit}: use --limit N or --all")
    tell_standing(reader)


def tell_standing(reader: Reader) -> None:
    """Of an answer about the past, where in the log that is."""
    if reader.standing is not None:
        note(f"as of event {reader.standing.seq}, {reader.standing.at}")


def show_one(body: bytes, *, as_json: bool) -> None:
    """One record."""
    if as_json:
        raw_lines([body])
    else:
        pairs(as_builtin(body))
