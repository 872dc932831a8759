"""Which paths of a directory are not sent: the lines of `.longshoreignore`, as `.gitignore` has taught them.

    *.tmp        files and folders of that name at any depth        /scratch/    the folder scratch of the directory itself
    cache/       folders of that name, with all below               !keep.tmp    is sent after all

The last line that fits decides. Of a folder that is not sent nothing is. What must not enter: reading directories.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from longshore_common.errors import BadInput
from longshore_data import globs

FILE: Final = ".longshoreignore"
#: What nobody wants to send; a line with `!` has it sent.
ALWAYS: Final = (".git/", ".hg/", ".svn/", ".snakemake/", "__pycache__/")


class Rule(NamedTuple):
    """One line: its pattern, whether it means folders only, and whether it takes an earlier line back."""

    pattern: str
    folders: bool
    sends: bool


class Ignore:
    """The rules of one directory."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)

    def skips(self, path: str, *, folder: bool) -> bool:
        """Whether this relative path is left out."""
        for rule in reversed(self._rules):
            if (folder or not rule.folders) and globs.matches(rule.pattern, path):
                return not rule.sends
        return False


def rules(lines: Iterable[str]) -> list[Rule]:
    """The rules of these lines; `BadInput` names a line that is none."""
    found = []
    for number, line in enumerate(lines, 1):
        word = line.rstrip("\r\n")
        word = word if word.endswith("\\ ") else word.rstrip()
        if not word or word.startswith("#"):
            continue
        sends = word.startswith("!")
        pattern = word[1:] if sends else word.removeprefix("\\")
        try:
            globs.check(pattern)
        except BadInput as err:
            raise BadInput(f"{FILE}, line {number}: {err}") from err
        bare = pattern.rstrip("/")
        if bare:
            found.append(Rule(bare, pattern.endswith("/"), sends))
    return found


def of(directory: Path) -> Ignore:
    """The rules for this directory: those in its own ignore file, else in the nearest above it, over what is always left."""
    for folder in (directory, *directory.parents):
        try:
            text = (folder / FILE).read_text()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as err:
            raise BadInput(f"{folder / FILE} cannot be read: {err}") from err
        return Ignore([*rules(ALWAYS), *rules(text.splitlines())])
    return Ignore(rules(ALWAYS))
