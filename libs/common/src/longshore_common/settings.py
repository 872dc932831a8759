"""Typed configuration from a file and the environment, with the origin of each value kept so that it can be shown.

What must not enter: settings of any one service; each has its own frozen struct and calls `load`.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from longshore_common.errors import BadInput

S = TypeVar("S", bound=msgspec.Struct)


class Loaded(NamedTuple):
    """Settings, and per field where its value came from: "default", a file's path, or "$VARIABLE"."""

    value: Any
    origins: dict[str, str]


def load(kind: type[S], environ: Mapping[str, str], file: Path | None = None, prefix: str = "LONGSHORE_") -> Loaded:
    """`kind` filled from `file` (TOML, if it exists) and then `<prefix><FIELD>` variables; `BadInput` names the culprit.

    A field whose name is in `kind.ENV` (a class attribute dict) is read from that variable instead, such as NATS_URL.
    """
    values: dict[str, Any] = {}
    origins = {f.name: "default" for f in msgspec.structs.fields(kind)}
    if file is not None and file.is_file():
        try:
            table = tomllib.loads(file.read_text())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
            raise BadInput(f"{file} is not TOML: {err}") from err
        for key, value in table.items():
            if key not in origins:
                raise BadInput(f"{file} has an unknown setting {key!r}; known are {', '.join(sorted(origins))}")
            values[key], origins[key] = value, str(file)
    names: Mapping[str, str] = getattr(kind, "ENV", {})
    for field in origins:
        variable = names.get(field, prefix + field.upper())
        if variable in environ:
            values[field], origins[field] = environ[variable], f"${variable}"
    try:
        return Loaded(msgspec.convert(values, kind, strict=False), origins)
    except msgspec.ValidationError as err:
        raise BadInput(f"a setting is wrong: {err}; values came from {sorted(set(origins.values()))}") from err
