"""Edits in a user's words: `memory=8G`, `env.SEED=7`, what to find and what to put there; checked before they are sent.

What must not enter: which tasks are meant, what became of it.
"""

import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, get_args, get_type_hints

import msgspec

from longshore.quantities import duration, size
from longshore_common.damage import DAMAGED
from longshore_common.editing import FIELDS, edited, fault
from longshore_common.errors import BadInput
from longshore_common.model import Change, Substitution, TaskSpec

#: Fields in which words can be replaced.
REPLACEABLE: Final[tuple[str, ...]] = get_args(get_type_hints(Substitution)["field"])


class Replacement(NamedTuple):
    """Put `put` wherever `find` stands in these fields."""

    find: str
    put: str
    fields: tuple[str, ...] = ("command",)


def change(sets: Mapping[str, object], replacements: Iterable[Replacement] = ()) -> Change:
    """The edit; `BadInput` names what is wrong. Values are as JSON has them, sizes also as `8G`, durations as `1h30m`."""
    made = Change(
        set={name: value if value is None else _read(name, value) for name, value in sets.items()},
        substitutions=tuple(
            Substitution(field=_replaceable(field), find=one.find, replace=one.put)
            for one in replacements
            for field in one.fields
        ),
    )
    if why := fault(made):
        raise BadInput(why)
    edited(TaskSpec(command=("true",)), made)  # a value that fits no field is told here
    return made


def _replaceable(field: str) -> Any:
    if field not in REPLACEABLE:
        raise BadInput(f"words cannot be replaced in {field!r}: name {', '.join(REPLACEABLE)}, or set the field")
    return field


def assignments(words: Iterable[str], unset: Iterable[str] = ()) -> dict[str, object]:
    """`FIELD=VALUE` words, and fields to be as if they had not been given."""
    found: dict[str, object] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise BadInput(f"{word!r} sets nothing: write FIELD=VALUE, such as memory=8G or env.SEED=7")
        found[name] = text
    return {**found, **dict.fromkeys(unset)}


def _read(name: str, value: object) -> object:
    field, _, entry = name.partition(".")
    if field not in FIELDS:
        raise BadInput(f"{name!r} is no field of a task; those are {', '.join(FIELDS)}, env.NAME and custom.NAME")
    if entry and field == "env":
        return str(value)
    read = _number if entry else _READ.get(field, _json)
    try:
        return read(value)
    except (ValueError, *DAMAGED) as err:
        raise BadInput(f"{value!r} cannot be {name}: {err}") from err


def _words(value: object) -> object:
    if not isinstance(value, str):
        return value
    return msgspec.json.decode(value) if value.lstrip().startswith("[") else shlex.split(value)


def _number(value: object) -> object:
    if not isinstance(value, str):
        return value
    return int(value) if value.lstrip("-").isdigit() else float(value)


def _truth(value: object) -> object:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if not isinstance(value, str):
        return value
    if value.lower() not in words:
        raise BadInput(f"{value!r} is neither yes nor no")
    return words[value.lower()]


def _json(value: object) -> object:
    return msgspec.json.decode(value) if isinstance(value, str) else value


def _text(value: object) -> object:
    return value


_READ: Final[dict[str, Callable[[Any], object]]] = {
    **dict.fromkeys(("command", "container_options", "inputs", "resources", "secrets"), _words),
    **dict.fromkeys(("name", "container", "output", "checkpoint", "stop_signal", "pull"), _text),
    **dict.fromkeys(("cpus", "gpus", "retries", "uid", "gid"), _number),
    **dict.fromkeys(("memory", "disk"), size),
    **dict.fromkeys(("run_timeout", "download_timeout", "upload_timeout", "grace", "backoff"), duration),
    **dict.fromkeys(("shell", "use_cache"), _truth),
}
