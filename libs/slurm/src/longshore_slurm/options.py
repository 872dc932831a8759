"""Command lines in the manner of getopt_long: long names and their unique beginnings, letters that stand together.

Pure. What must not enter: what any option means.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from longshore_common.errors import BadInput

Takes = Literal["nothing", "value", "perhaps"]


class Table:
    """The options of a command. Each is a word: `job-name|J=` takes a value, `nice?` perhaps one, `hold|H` none.

    A perhaps-value stands behind `=`, or directly behind the letter; never in the next word.
    """

    def __init__(self, *words: str) -> None:
        self.takes: dict[str, Takes] = {}
        self.letters: dict[str, str] = {}
        for word in " ".join(words).split():
            takes: Takes = "value" if word.endswith("=") else "perhaps" if word.endswith("?") else "nothing"
            name, _, letters = word.rstrip("=?").partition("|")
            self.takes[name] = takes
            for letter in letters:
                self.letters[letter] = name

    def named(self, word: str) -> str | None:
        """The option of this long name or unique beginning of one, None if there is none."""
        if word in self.takes:
            return word
        found = [name for name in self.takes if name.startswith(word)]
        return found[0] if len(found) == 1 else None


class Read(NamedTuple):
    """What was given: the values of each option in their order ("" for none), other words, and options nobody knows."""

    options: dict[str, list[str]]
    rest: list[str]
    unknown: list[str]

    def last(self, name: str) -> str | None:
        """The value that was given last."""
        values = self.options.get(name)
        return values[-1] if values else None

    def has(self, name: str) -> bool:
        """Whether it was given at all."""
        return name in self.options

    def listed(self, name: str) -> list[str]:
        """Values of all its occurrences, which commas part as well."""
        return [piece.strip() for value in self.options.get(name, ()) for piece in value.split(",") if piece.strip()]


_NOTHING: Final[Mapping[str, str]] = {}


def read(table: Table, words: Sequence[str], *, permute: bool = True) -> Read:
    """The words by this table; without `permute`, options end at the first other word. `BadInput`: a value is missing."""
    found = Read({}, [], [])
    left = list(reversed(words))
    while left:
        word = left.pop()
        if word == "--":
            break
        if word.startswith("--"):
            _long(table, word[2:], left, found)
        elif word.startswith("-") and len(word) > 1:
            _letters(table, word[1:], left, found)
        else:
            found.rest.append(word)
            if not permute:
                break
    found.rest.extend(reversed(left))
    return found


def _long(table: Table, word: str, left: list[str], found: Read) -> None:
    name, equals, value = word.partition("=")
    known = table.named(name)
    if known is None:
        found.unknown.append(f"--{name}")
        return
    if table.takes[known] == "value" and not equals:
        value = _next(f"--{name}", left)
    found.options.setdefault(known, []).append(value)


def _letters(table: Table, letters: str, left: list[str], found: Read) -> None:
    while letters:
        letter, letters = letters[0], letters[1:]
        name = table.letters.get(letter)
        if name is None:
            found.unknown.append(f"-{letter}")
            continue
        value = ""
        if table.takes[name] != "nothing":
            value, letters = letters.removeprefix("="), ""
            if not value and table.takes[name] == "value":
                value = _next(f"-{letter}", left)
        found.options.setdefault(name, []).append(value)


def _next(name: str, left: list[str]) -> str:
    if not left:
        raise BadInput(f"option {name} needs a value")
    return left.pop()


def over(table: Table, *layers: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Options of several origins as one: the later layer's values stand in place of the earlier one's."""
    merged: dict[str, list[str]] = {}
    for layer in layers:
        merged |= {name: values for name, values in layer.items() if name in table.takes}
    return merged


def of_environment(table: Table, prefix: str, environ: Mapping[str, str], odd: Mapping[str, str] = _NOTHING) -> Read:
    """Options that the environment gives: `SBATCH_JOB_NAME` is --job-name; `odd` are those of other names."""
    found: dict[str, list[str]] = {}
    for name, takes in table.takes.items():
        value = environ.get(prefix + odd.get(name, name.replace("-", "_").upper()))
        if value is not None and (value or takes == "nothing"):
            found[name] = [value]
    return Read(found, [], [])


def joined(words: Iterable[str]) -> str:
    """Words as talk: a, b and c."""
    *first, last = list(words)
    return f"{', '.join(first)} and {last}" if first else last
