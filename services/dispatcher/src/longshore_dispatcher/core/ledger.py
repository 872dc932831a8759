"""What is kept of finished submissions, those of which all succeeded as rows of numbers, the others whole; and their keys.

A million finished submissions must not be two million objects. A key is its 8-byte digest: two of a million collide with
chance 3e-8, and nobody can aim at another user's. What must not enter: how long anything is remembered.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, MutableMapping
from hashlib import blake2b
from typing import Any, Final

from msgspec import Struct

from longshore_dispatcher.core.closing import Closed

Column = Any  # an array of one of the types below
#: Entries of a block; it is split when it has twice as many.
_BLOCK: Final = 1_024
#: Rows gone from the front before the columns are cut.
_CUT: Final = 16_384


class Numbers:
    """Whole numbers below 2^64 by whole numbers, sorted in blocks: 16 bytes each, about a microsecond to find or insert one."""

    def __init__(self) -> None:
        self._keys: list[array[int]] = []
        self._values: list[array[int]] = []
        self._last: list[int] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @classmethod
    def of(cls, pairs: Iterable[tuple[int, int]]) -> "Numbers":
        """All at once; of equal keys the last counts."""
        made = cls()
        found = dict(pairs)
        keys = sorted(found)
        for start in range(0, len(keys), _BLOCK):
            some = array("Q", keys[start : start + _BLOCK])
            made._keys.append(some)
            made._values.append(array("Q", [found[key] for key in some]))
            made._last.append(some[-1])
        made._count = len(keys)
        return made

    def find(self, key: int) -> int | None:
        """The value, None if there is none."""
        at, pos = self._place(key)
        if at < len(self._keys) and self._keys[at][pos] == key:
            return self._values[at][pos]
        return None

    def put(self, key: int, value: int) -> None:
        """Set or replace."""
        if not self._keys:
            self._keys, self._values, self._last = [array("Q")], [array("Q")], [0]
        at, pos = self._place(key)
        at = min(at, len(self._keys) - 1)
        keys, values = self._keys[at], self._values[at]
        pos = bisect_left(keys, key) if key > self._last[at] else pos
        if pos < len(keys) and keys[pos] == key:
            values[pos] = value
            return
        keys.insert(pos, key)
        values.insert(pos, value)
        self._last[at] = keys[-1]
        self._count += 1
        if len(keys) > 2 * _BLOCK:
            self._keys[at : at + 1] = [keys[:_BLOCK], keys[_BLOCK:]]
            self._values[at : at + 1] = [values[:_BLOCK], values[_BLOCK:]]
            self._last[at : at + 1] = [keys[_BLOCK - 1], keys[-1]]

    def drop(self, key: int) -> None:
        """Forget; nothing happens if there is none."""
        at, pos = self._place(key)
        if at == len(self._keys) or self._keys[at][pos] != key:
            return
        del self._keys[at][pos], self._values[at][pos]
        self._count -= 1
        if self._keys[at]:
            self._last[at] = self._keys[at][-1]
        else:
            del self._keys[at], self._values[at], self._last[at]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for keys, values in zip(self._keys, self._values, strict=True):
            yield from zip(keys, values, strict=True)

    def _place(self, key: int) -> tuple[int, int]:
        at = bisect_left(self._last, key)
        return (at, bisect_left(self._keys[at], key)) if at < len(self._keys) else (at, 0)


def digest(whose: str) -> int:
    """Of `user/key`."""
    return int.from_bytes(blake2b(whose.encode(errors="surrogatepass"), digest_size=8).digest(), "big")


def mark_of(closed: Closed) -> int:
    """The digest of its key."""
    return closed.mark or digest(f"{closed.user}/{closed.key}")


class Keys:
    """Which submission holds the tasks of a key, as a dict of `user/key`."""

    def __init__(self) -> None:
        self._held = Numbers()

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, whose: str) -> bool:
        return self._held.find(digest(whose)) is not None

    def __getitem__(self, whose: str) -> int:
        found = self._held.find(digest(whose))
        if found is None:
            raise KeyError(whose)
        return found

    def __setitem__(self, whose: str, submission: int) -> None:
        self._held.put(digest(whose), submission)

    def __delitem__(self, whose: str) -> None:
        self._held.drop(digest(whose))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keys) and list(self._held) == list(other._held)

    __hash__ = None  # type: ignore[assignment]

    def get(self, whose: str, default: int) -> int:
        """As of a dict."""
        found = self._held.find(digest(whose))
        return default if found is None else found

    def setdefault(self, whose: str, submission: int) -> None:
        """As of a dict."""
        mark = digest(whose)
        if self._held.find(mark) is None:
            self._held.put(mark, submission)

    @classmethod
    def of(cls, marks: Iterable[tuple[int, int]]) -> "Keys":
        """From digests and submissions; of equal digests the last counts."""
        made = cls()
        made._held = Numbers.of(marks)
        return made

    def release(self, mark: int, submission: int) -> None:
        """Forget the key of this digest, if it is this submission's."""
        if self._held.find(mark) == submission:
            self._held.drop(mark)


class Rows(Struct, frozen=True, array_like=True):
    """Columns of finished submissions of which all succeeded, in the order in which they finished, as bytes."""

    whose: tuple[tuple[str, str], ...] = ()
    ids: bytes = b""
    at: bytes = b""
    sizes: bytes = b""
    who: bytes = b""
    marks: bytes = b""


class Ledger(MutableMapping[int, Closed]):
    """Finished submissions by id. What comes out of a row is a copy: to change it, set it again."""

    def __init__(self) -> None:
        self._others: dict[int, Closed] = {}
        self._place = Numbers()
        self._gone = self._lead = 0
        self._ids, self._at, self._sizes = array("q"), array("d"), array("q")
        self._who, self._marks = array("I"), array("Q")
        self._whose: list[tuple[str, str]] = []
        self._index: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        return len(self._others) + len(self._place)

    def __contains__(self, submission: object) -> bool:
        return submission in self._others or (isinstance(submission, int) and self._row(submission) is not None)

    def __getitem__(self, submission: int) -> Closed:
        if (found := self._others.get(submission)) is not None:
            return found
        if (row := self._row(submission)) is not None:
            return self._closed(row)
        raise KeyError(submission)

    def __setitem__(self, submission: int, closed: Closed) -> None:
        if submission in self._others:
            self._others[submission] = closed
            return
        self._forget(submission)
        if closed.plain:
            self._add(closed, mark_of(closed))
        else:
            self._others[submission] = closed

    def __delitem__(self, submission: int) -> None:
        if self._others.pop(submission, None) is None and not self._forget(submission):
            raise KeyError(submission)

    def __iter__(self) -> Iterator[int]:
        yield from self._others
        yield from (sid for sid in self._ids[self._first() :] if sid >= 0)

    @property
    def others(self) -> dict[int, Closed]:
        """Those that are kept whole, in the order in which they finished."""
        return self._others

    def of(self, user: str, batch: str) -> Iterator[Closed]:
        """All of this user in this batch."""
        yield from (closed for closed in self._others.values() if closed.batch == batch and closed.user == user)
        who = self._index.get((user, batch))
        if who is not None:
            yield from (
                self._closed(row)
                for row in range(self._first(), len(self._ids))
                if self._who[row] == who and self._ids[row] >= 0
            )

    def in_batch(self, batch: str) -> Iterator[Closed]:
        """All of this batch, whoever's."""
        yield from (closed for closed in self._others.values() if closed.batch == batch)
        whose = {who for (_, name), who in self._index.items() if name == batch}
        if whose:
            yield from (
                self._closed(row)
                for row in range(self._first(), len(self._ids))
                if self._who[row] in whose and self._ids[row] >= 0
            )

    def oldest(self, before: float, most: int) -> list[int]:
        """Rows that finished not after `before`, at most `most` of them."""
        found: list[int] = []
        for row in range(self._first(), len(self._ids)):
            if len(found) >= most or self._at[row] > before:
                break
            if self._ids[row] >= 0:
                found.append(self._ids[row])
        return found

    # --- rows -------------------------------------------------------------------------------------------------------

    def _first(self) -> int:
        """The first row that is not gone; those before it are cut off now and then."""
        row, ids = self._lead, self._ids
        while row < len(ids) and ids[row] < 0:
            row += 1
        self._lead = row
        if row >= _CUT:
            for column in self._columns():
                del column[:row]
            self._gone, self._lead = self._gone + row, 0
        return self._lead

    def _row(self, submission: int) -> int | None:
        place = self._place.find(submission) if submission >= 0 else None
        return None if place is None else place - self._gone

    def _closed(self, row: int) -> Closed:
        user, batch = self._whose[self._who[row]]
        size = self._sizes[row]
        return Closed(self._ids[row], user, batch, "", size, self._at[row], size, mark=self._marks[row])

    def _add(self, closed: Closed, mark: int) -> None:
        whose = (closed.user, closed.batch)
        who = self._index.get(whose)
        if who is None:
            who = self._index[whose] = len(self._whose)
            self._whose.append(whose)
        self._place.put(closed.id, self._gone + len(self._ids))
        self._ids.append(closed.id)
        self._at.append(closed.at)
        self._sizes.append(closed.size)
        self._who.append(who)
        self._marks.append(mark)

    def _forget(self, submission: int) -> bool:
        row = self._row(submission)
        if row is None:
            return False
        self._place.drop(submission)
        self._ids[row] = -1
        return True

    # --- snapshots --------------------------------------------------------------------------------------------------

    def rows(self) -> Rows:
        """What `restored` makes the rows from."""
        keep = [row for row in range(self._first(), len(self._ids)) if self._ids[row] >= 0]
        whole = len(keep) == len(self._ids)

        def column(values: Column) -> bytes:
            return values.tobytes() if whole else array(values.typecode, [values[row] for row in keep]).tobytes()

        return Rows(tuple(self._whose), *map(column, self._columns()))

    def _columns(self) -> "list[Column]":
        return [self._ids, self._at, self._sizes, self._who, self._marks]

    @classmethod
    def restored(cls, others: list[Closed], rows: Rows) -> "Ledger":
        """The ledger again."""
        made = cls()
        made._others = {closed.id: closed for closed in others}
        made._whose = list(rows.whose)
        made._index = {whose: who for who, whose in enumerate(made._whose)}
        for column, data in zip(made._columns(), (rows.ids, rows.at, rows.sizes, rows.who, rows.marks), strict=True):
            column.frombytes(data)
        made._place = Numbers.of((submission, row) for row, submission in enumerate(made._ids))
        return made

    def marks(self) -> Iterator[tuple[int, int]]:
        """(digest of its key, id) of each row."""
        yield from ((mark, sid) for mark, sid in zip(self._marks, self._ids, strict=True) if sid >= 0)
