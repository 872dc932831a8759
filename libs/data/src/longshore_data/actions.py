"""Actions of a URI: what is done, in order, to the files that come from it. Words only; `unpack` and `transfer` do them.

    |gunzip              each .gz file becomes the file it holds
    |untar  |unzip       each archive becomes what it holds, beside where it was
    |mv:dir              everything goes into this folder
    |rename:NAME         the one file gets this name;  |rename:s/REGEX/TEXT/  every path is rewritten
    |glob:PATTERN        only paths that match stay;   |glob:!PATTERN         those that match go

What must not enter: bytes, disks.
"""

import re
from typing import Final, NamedTuple

from longshore_common.errors import BadInput

PLAIN: Final = ("gunzip", "untar", "unzip")
WITH_ARGUMENT: Final = ("mv", "rename", "glob")

_START = re.compile(r"\|(?=(?:gunzip|untar|unzip)(?:\||$)|(?:mv|rename|glob):)")
_UNKNOWN = re.compile(r"\|([a-z]+)(:[^/|]*)?$")


class Action(NamedTuple):
    """One step: its word, and the text after the colon if it takes one."""

    word: str
    argument: str = ""

    def __str__(self) -> str:
        return f"{self.word}:{self.argument}" if self.word in WITH_ARGUMENT else self.word


def split(uri: str, rest: str) -> tuple[str, tuple[Action, ...]]:
    """What stands before the first action, and the actions; `BadInput` names the fix in terms of `uri`."""
    path, *steps = _START.split(rest)
    found = _UNKNOWN.search(steps[-1] if steps else path)
    if found and not (steps and steps[-1].startswith(WITH_ARGUMENT)):
        known = ", ".join([*(f"|{w}" for w in PLAIN), *(f"|{w}:…" for w in WITH_ARGUMENT)])
        raise BadInput(
            f"{uri!r}: |{found.group(1)} is no action; there are {known}. "
            "If the name itself ends so, name its folder and choose the file with |glob:"
        )
    return path, tuple(_action(uri, step) for step in steps)


def rename(action: Action, path: str) -> str:
    """What `path` becomes by a rename; `BadInput` if the expression is not readable or leads out of the folder."""
    if (parts := _sed(action.argument)) is None:
        folder, slash, _ = path.rpartition("/")
        return f"{folder}{slash}{action.argument}"
    pattern, text, every = parts
    return re.sub(pattern, text, path, count=0 if every else 1)


def _action(uri: str, step: str) -> Action:
    word, _, argument = step.partition(":")
    if word not in WITH_ARGUMENT:
        return Action(word)
    if not argument:
        raise BadInput(f"{uri!r}: |{word}: needs a value after the colon")
    if word == "mv":
        _check_folder(uri, argument)
        argument = argument.strip("/")
    if word == "rename":
        _check_rename(uri, argument)
    return Action(word, argument)


def _check_folder(uri: str, folder: str) -> None:
    if folder.startswith("/") or any(s in ("", ".", "..") for s in folder.rstrip("/").split("/")):
        raise BadInput(f"{uri!r}: |mv:{folder} must name a folder below the directory: no '..', not absolute")


def _check_rename(uri: str, argument: str) -> None:
    parts = _sed(argument)
    if parts is None:
        if "/" in argument or argument in (".", ".."):
            raise BadInput(
                f"{uri!r}: |rename:{argument}: write a name, or s/REGEX/TEXT/; to move it into a folder, |mv:"
            )
        return
    try:
        re.sub(parts[0], parts[1], "")
        re.compile(parts[0])
    except re.error as err:
        raise BadInput(f"{uri!r}: |rename:{argument}: not a regular expression: {err}") from err


def _sed(argument: str) -> tuple[str, str, bool] | None:
    """(expression, text, whether every occurrence) of s/EXPRESSION/TEXT/[g], None for a plain name; any delimiter."""
    if len(argument) < 4 or argument[0] != "s" or argument[1].isalnum() or argument[1] in "._- ":
        return None
    parts = re.split(rf"(?<!\\){re.escape(argument[1])}", argument[2:])
    if len(parts) != 3 or parts[2] not in ("", "g"):
        return None
    return parts[0], parts[1], parts[2] == "g"
