r"""Actions of a URI: what is done, in order, to the files that come from it. Words only; `transfer` and `tree` do them.

    |gunzip              each .gz or .bgz file becomes the file it holds
    |untar  |unzip       each archive becomes what it holds, beside where it was
    |mv:dir              everything goes into this folder
    |rename:NAME         the file gets this name;     |rename:s/REGEX/TEXT/[g]  every path is rewritten (Python's `re`)
    |glob:PATTERN        only paths that match stay;  |glob:!PATTERN            those that match go

Patterns are those of `globs`. What must not enter: bytes, disks, running an expression (`rewriting` does: some never end).
"""

import re
import warnings
from collections.abc import Sequence
from typing import Final, NamedTuple

from longshore_common.errors import BadInput
from longshore_data import globs

PLAIN: Final = ("gunzip", "untar", "unzip")
WITH_ARGUMENT: Final = ("mv", "rename", "glob")
#: What starts so is ours: folders of outputs that are not published, files that are not complete.
OURS: Final = ".longshore"

_KNOWN: Final = ", ".join([*(f"|{w}" for w in PLAIN), *(f"|{w}:…" for w in WITH_ARGUMENT)])
_START = re.compile(r"\|(?=(?:gunzip|untar|unzip)(?:\||\Z)|(?:mv|rename|glob):)")
_UNKNOWN = re.compile(r"\|([A-Za-z]*)(:[^/|]*)?\Z")
_MOST_EXPRESSION = 500


class Action(NamedTuple):
    """One step: its word, and the text after the colon if it takes one."""

    word: str
    argument: str = ""

    def __str__(self) -> str:
        return f"{self.word}:{self.argument}" if self.word in WITH_ARGUMENT else self.word

    @property
    def unpacks(self) -> bool:
        """Whether it needs the bytes; the others need names only."""
        return self.word in PLAIN


class Expression(NamedTuple):
    """What s/REGEX/TEXT/[g] says."""

    regex: str
    text: str
    every: bool


def split(uri: str, rest: str) -> tuple[str, tuple[Action, ...]]:
    """What stands before the first action, and the actions; `BadInput` names the fix in terms of `uri`."""
    path, *steps = _START.split(rest)
    _refuse_unknown(uri, path)
    return path, tuple(_action(uri, step) for step in steps)


def names_first(steps: Sequence[Action]) -> tuple[tuple[Action, ...], tuple[Action, ...]]:
    """The steps that can be done to a listing, before anything is fetched; and the rest, from the first unpacking on."""
    for number, step in enumerate(steps):
        if step.unpacks:
            return tuple(steps[:number]), tuple(steps[number:])
    return tuple(steps), ()


def expression(step: Action) -> Expression | None:
    """What a rename rewrites; None if the step is no such rename."""
    return _sed(step.argument) if step.word == "rename" else None


def renamed(step: Action, path: str) -> str | None:
    """What `path` becomes by one step that needs names only and has no `expression`; None: it goes."""
    match step.word:
        case "glob":
            if step.argument.startswith("!"):
                return None if globs.matches(step.argument[1:], path) else path
            return path if globs.matches(step.argument, path) else None
        case "mv":
            return f"{step.argument}/{path}"
        case "rename":
            folder, slash, _ = path.rpartition("/")
            return f"{folder}{slash}{step.argument}"
        case _:
            raise AssertionError(f"{step} is no step on names")


def check_path(step: object, before: str, after: str) -> str:
    """`after` itself if a file may be called so; `BadInput` if what `step` made of `before` leads elsewhere."""
    if "\0" in after or any(s in ("", ".", "..") for s in after.split("/")):
        raise BadInput(f"|{step} makes {after!r} of {before!r}, which is no path below the directory: correct it")
    if any(s.startswith(OURS) for s in after.split("/")):
        raise BadInput(f"|{step} makes {after!r} of {before!r}: names with {OURS} in front are ours: choose another")
    return after


def _refuse_unknown(uri: str, text: str) -> None:
    """No step may be taken for a part of a name because it is misspelt."""
    if (found := _UNKNOWN.search(text)) is None:
        return
    word, value = found.group(1), found.group(2)
    if word in PLAIN and value is not None:
        raise BadInput(f"{uri!r}: |{word} takes no value: remove {value!r}")
    if word in WITH_ARGUMENT:
        raise BadInput(f"{uri!r}: |{word} needs a value: write |{word}:…")
    raise BadInput(
        f"{uri!r}: |{word} is no action; there are {_KNOWN}. If the name itself ends so, name its folder and choose "
        "the file with |glob: and [|] for the bar"
    )


def _action(uri: str, step: str) -> Action:
    word, _, argument = step.partition(":")
    if word not in WITH_ARGUMENT:
        return Action(word)
    if not argument or argument == "!" or argument.startswith("|"):
        raise BadInput(f"{uri!r}: |{word}: needs a value after the colon")
    if word == "rename" and (found := _sed(argument)) is not None:
        _check_expression(uri, found)
        return Action(word, argument)
    _refuse_unknown(uri, argument)
    if word == "mv":
        argument = argument.removesuffix("/")
    if word == "glob":
        globs.check(argument.removeprefix("!"))
    elif word == "rename" and "/" in argument:
        raise BadInput(f"{uri!r}: |rename:{argument}: write a name, or s/REGEX/TEXT/; to move it into a folder, |mv:")
    else:
        check_path(f"{word}:{argument}", "a name", argument)
    return Action(word, argument)


def _check_expression(uri: str, found: Expression) -> None:
    shown = f"{uri!r}: |rename:s/{found.regex}/{found.text}/"
    if len(found.regex) > _MOST_EXPRESSION:
        raise BadInput(f"{shown}: more than {_MOST_EXPRESSION} characters: rename in the command instead")
    try:
        with warnings.catch_warnings(action="ignore"):
            re.compile(found.regex).sub(found.text, "")
    except (re.error, IndexError, OverflowError, RecursionError) as err:
        raise BadInput(f"{shown}: not a regular expression of Python's with its text: {err}") from err


def _sed(argument: str) -> Expression | None:
    """What s/REGEX/TEXT/[g] says, with any delimiter that is no letter, digit, space, dot, dash, underscore or bar; else None.

    A delimiter with a backslash in front stands for itself.
    """
    if len(argument) < 4 or argument[0] != "s" or argument[1].isalnum() or argument[1] in "._- |\\":
        return None
    mark = argument[1]
    parts = [""]
    rest = iter(argument[2:])
    for c in rest:
        if c == mark:
            parts.append("")
        elif c == "\\":
            after = next(rest, "")
            parts[-1] += after if after == mark else c + after
        else:
            parts[-1] += c
    if len(parts) != 3 or not parts[0] or parts[2] not in ("", "g"):
        return None
    return Expression(parts[0], parts[1], parts[2] == "g")
