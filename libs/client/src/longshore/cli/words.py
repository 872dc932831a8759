"""How the words of a command line are declared and read: a thin layer on argparse, which costs 10 ms to import.

Unlike argparse alone an option takes the next word as its value even if that begins with a dash (`-O --network=host`),
and a command may keep the rest of the line to the byte. What must not enter: what any command does.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, NoReturn

from longshore_common.errors import BadInput


class Word(NamedTuple):
    """An option (flags begin with a dash) or an argument, with argparse's own settings."""

    flags: tuple[str, ...]
    takes_value: bool
    settings: dict[str, Any]


def option(*flags: str, meta: str, help: str, **settings: Any) -> Word:
    """An option with a value."""
    return Word(flags, takes_value=True, settings={"metavar": meta, "help": help, **settings})


def repeated(*flags: str, meta: str, help: str, **settings: Any) -> Word:
    """An option that may be given several times; the values as a list."""
    return option(*flags, meta=meta, help=help, action="append", default=[], **settings)


def flag(*flags: str, help: str, **settings: Any) -> Word:
    """An option without a value."""
    return Word(flags, takes_value=False, settings={"action": "store_true", "help": help, **settings})


def argument(name: str, help: str, **settings: Any) -> Word:
    """A word that is no option."""
    return Word((name,), takes_value=False, settings={"help": help, **settings})


def whole(text: str) -> int:
    """A number of 0 or more; 1_000 and 1000 are the same."""
    if not text.isascii() or not text.replace("_", "").isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 0 or more")
    return int(text)


def counted(text: str) -> int:
    """A number of 1 or more."""
    if (number := whole(text)) < 1:
        raise argparse.ArgumentTypeError("it is 1 or more")
    return number


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}. Try `{self.prog} --help`.")


class Command(NamedTuple):
    """A command: what it calls (its docstring is the help), its words, and where a verbatim rest of the line goes."""

    run: Callable[..., int | None]
    words: tuple[Word, ...] = ()
    rest: str | None = None

    @property
    def summary(self) -> str:
        """The first line of its help."""
        return (self.run.__doc__ or "").strip().partition("\n")[0]

    def call(self, line: Sequence[str], prog: str) -> int:
        """Parse the line and call; `BadInput` says what is wrong with it."""
        parser = self.parser(prog)
        options, rest = self._split(line)
        if self.rest is None:
            given = vars(parser.parse_intermixed_args([*options, *rest]))
        else:
            given = {**vars(parser.parse_args(options)), self.rest: list(rest)}
        return self.run(**given) or 0

    def parser(self, prog: str) -> argparse.ArgumentParser:
        """Argparse's view of it."""
        usage = f"{prog} [OPTION…] [--] COMMAND…" if self.rest else None
        text = "\n".join(line.removeprefix("    ") for line in (self.run.__doc__ or "").strip().splitlines())
        formatter = argparse.RawDescriptionHelpFormatter
        parser = _Parser(prog=prog, usage=usage, description=text, allow_abbrev=False, formatter_class=formatter)
        for word in self.words:
            parser.add_argument(*word.flags, **word.settings)
        return parser

    def _split(self, line: Sequence[str]) -> tuple[list[str], list[str]]:
        """(options, each value joined to its flag; the rest). The rest begins at the first word that is no option,

        or after `--`, if the command keeps it; otherwise at `--` alone, and other words stay among the options.
        """
        valued = {name: word.flags[-1] for word in self.words if word.takes_value for name in word.flags}
        flags = {name for word in self.words if not word.takes_value for name in word.flags}
        found: list[str] = []
        k = 0
        while k < len(line):
            word = line[k]
            k += 1
            while word[:2] in flags and len(word) > 2 and word[1] != "-":  # -qb is -q -b
                found.append(word[:2])
                word = "-" + word[2:]
            if word == "--":
                return found, list(line[k:]) if self.rest else ["--", *line[k:]]
            if word in valued and k < len(line):
                found.append(f"{valued[word]}={line[k]}")  # the long name: argparse reads `-O=x` as x
                k += 1
            elif self.rest and (not word.startswith("-") or word == "-"):
                return found, list(line[k - 1 :])
            else:
                found.append(word)
        return found, []


class Noun(NamedTuple):
    """Commands under one word."""

    summary: str
    commands: dict[str, Command]


JSON: Final = flag("--json", dest="as_json", help="JSON for programs: lists print one object per line")
BATCH: Final = option("-b", "--batch", meta="NAME", help="the tasks of this batch")
LIMIT: Final = option("--limit", meta="N", type=counted, default=50, help="at most so many; default 50")
EVERYTHING: Final = flag("-a", "--all", dest="everything", help="all pages")
_IDS = "1204.17, 1204.0-99, 1204 for a whole submission, last, or a task's name"
IDS: Final = argument("ids", nargs="*", metavar="ID", help=_IDS)
SOME_IDS: Final = argument("ids", nargs="+", metavar="ID", help=_IDS)
ONE_ID: Final = argument("task", metavar="ID", help="1204.17, last, or a task's name")
