"""What an edit makes of a spec: fields set, then words replaced. The dispatcher and the read model do it alike.

What must not enter: whether the result can run (the dispatcher's `validity`), whose tasks they are.
"""

from typing import Any, Final, TypeVar

import msgspec

from longshore_common.damage import DAMAGED
from longshore_common.errors import BadInput
from longshore_common.model import Change, Step, Substitution, TaskSpec

S = TypeVar("S", TaskSpec, Step)

#: What may be set.
FIELDS: Final = tuple(f.name for f in msgspec.structs.fields(TaskSpec))
#: Fields of which single entries may be set, as `env.NAME`.
_ENTRIES: Final = ("env", "custom")
#: What a worker must offer follows from these; an edit of others moves no task to another line.
ASKED: Final = frozenset({"container", "cpus", "memory", "gpus", "disk", "custom", "alternatives", "secrets"})


def fault(change: Change) -> str:
    """What is wrong with the edit itself, "" if nothing is."""
    if not change.set and not change.substitutions:
        return "it changes nothing: say what to set or to replace"
    for name in change.set:
        field, _, entry = name.partition(".")
        if name not in FIELDS and not (entry and field in _ENTRIES):
            return f"{name!r} is no field of a task; those are {', '.join(FIELDS)}, env.NAME and custom.NAME"
    if any(not one.find for one in change.substitutions):
        return "the words to find are empty: everything would match"
    return ""


def asks(change: Change) -> bool:
    """Whether the edit may change what a task asks of a host."""
    return any(name.partition(".")[0] in ASKED for name in change.set)


def edited(spec: TaskSpec, change: Change) -> TaskSpec:
    """The spec after the edit; the very same object where nothing changed. `BadInput`: a value does not fit its field."""
    made = _set(spec, change.set) if change.set else spec
    for one in change.substitutions:
        made = _replaced(made, one)
    return spec if made == spec else made


def _set(spec: TaskSpec, values: dict[str, object]) -> TaskSpec:
    fields: dict[str, Any] = msgspec.to_builtins(spec)
    for name, value in values.items():
        field, _, entry = name.partition(".")
        if not entry:
            fields[field] = value
        elif value is None:
            fields[field] = {key: old for key, old in fields.get(field, {}).items() if key != entry}
        else:
            fields[field] = {**fields.get(field, {}), entry: value}
        if fields[field] is None:
            del fields[field]
    if values.get("steps") and isinstance(fields.get("steps"), list | tuple):
        fields |= _shown(fields["steps"][0])
    try:
        return msgspec.convert(fields, TaskSpec)
    except DAMAGED as err:
        raise BadInput(f"a value does not fit: {err}") from err


def _shown(first: Any) -> dict[str, Any]:
    """A task of steps shows the command and the container of its first."""
    return {name: first[name] for name in ("command", "container") if isinstance(first, dict) and name in first}


def _replaced(spec: TaskSpec, one: Substitution) -> TaskSpec:
    """The words also in its steps and in the URIs of its mounts (as in inputs) and collects (as in the output)."""
    made = _replaced_own(spec, one)
    if one.field in ("command", "container", "env"):
        steps = tuple(_replaced_own(step, one) for step in made.steps)
        return made if steps == made.steps else msgspec.structs.replace(made, steps=steps)
    named: dict[str, str] = {"inputs": "mounts", "output": "collects"}
    if (field := named.get(one.field)) and (old := getattr(made, field)):
        new = tuple(msgspec.structs.replace(x, uri=x.uri.replace(one.find, one.replace)) for x in old)
        return made if new == old else msgspec.structs.replace(made, **{field: new})
    return made


def _replaced_own(spec: S, one: Substitution) -> S:
    find, put = one.find, one.replace
    old: Any = getattr(spec, one.field)
    new: Any
    match old:
        case None:
            return spec
        case str():
            new = old.replace(find, put)
        case dict():
            new = {key: word.replace(find, put) for key, word in old.items()}
        case _:
            new = tuple(word.replace(find, put) for word in old)
    return spec if new == old else msgspec.structs.replace(spec, **{one.field: new})
