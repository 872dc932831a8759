"""From a user's words to a checked `TaskSpec`; many at once come by `lines`. Pure.

The border is strict here so that the dispatcher and the agents may trust: what Linux could never start is refused with
the limit in the text.
"""

import os.path
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypedDict

import msgspec

from longshore import amounts, retries
from longshore.amounts import request
from longshore.quantities import duration, size
from longshore_common import confidential, inside
from longshore_common.errors import BadInput
from longshore_common.ids import token
from longshore_common.model import Collect, Mount, Pull, Request, Step, TaskSpec
from longshore_common.ties import Tied, parted

#: Linux: MAX_ARG_STRLEN is 32 pages, the terminating NUL included.
MAX_ARGUMENT: Final = 131_071
#: Linux gives a quarter of the stack limit (8 MiB) to argv and environment together; half of that is left to the rest.
MAX_COMMAND: Final = 1024 * 1024

_SINGULAR: Final = {
    "input": "inputs", "resource": "resources", "container_option": "container_options", "secret": "secrets",
    "retry": "retries",
}  # fmt: skip
#: Such as s3:/bucket/key.
_ONE_SLASH: Final = re.compile(r"([a-z][a-z0-9+_-]+(?:@\w+)*):/")
_KNOWN: Final = frozenset(f.name for f in msgspec.structs.fields(TaskSpec))


def _alone(word: str) -> list[str]:
    return [word]


#: What a word means where the spec wants a number or a list.
_READ: Final[dict[str, Callable[[Any], Any]]] = {
    "memory": size, "disk": size, "run_timeout": duration, "download_timeout": duration, "upload_timeout": duration,
    "inputs": _alone, "resources": _alone, "container_options": _alone, "secrets": _alone, "grace": duration,
    "backoff": duration, "volumes": _alone,
}  # fmt: skip
#: What is read whatever it is written as.
_READ_ALWAYS: Final[dict[str, Callable[[Any], Any]]] = {
    "custom": amounts.custom, "alternatives": lambda given: [request(one) for one in _several(given)],
    "retry_on": retries.budgets, "retry_exits": retries.exits, "fail_exits": retries.exits,
    **dict.fromkeys(("steps", "mounts", "collects"), lambda given: _objects(given)),
}  # fmt: skip


def _several(given: Any) -> Sequence[Any]:
    return [given] if isinstance(given, str | dict) else given


class SpecOptions(TypedDict, total=False):
    """How one task runs; sizes as bytes or `4G`, durations as seconds, `1h30m` or timedelta."""

    shell: bool
    name: str | None
    container: str | None
    container_options: Sequence[str]
    inputs: Sequence[str]
    resources: Sequence[str]
    output: str | None
    env: dict[str, str]
    secrets: Sequence[str]
    cpus: float
    memory: int | str
    gpus: int
    disk: int | str
    custom: Mapping[str, float] | Sequence[str]
    alternatives: Sequence[Request | Mapping[str, Any] | str]
    retries: int
    retry_on: Mapping[str, int] | Sequence[str]
    retry_exits: str | Sequence[int | tuple[int, int]]
    fail_exits: str | Sequence[int | tuple[int, int]]
    backoff: float | str | timedelta
    run_timeout: float | str | timedelta
    download_timeout: float | str | timedelta
    upload_timeout: float | str | timedelta
    uid: int | None
    gid: int | None
    checkpoint: str
    stop_signal: str
    grace: float | str | timedelta
    pull: Pull
    steps: Sequence[Step | Mapping[str, Any]]
    mounts: Sequence[Mount | Mapping[str, Any]]
    collects: Sequence[Collect | Mapping[str, Any]]
    volumes: Sequence[str]


def spec(command: Sequence[str] | str, **options: Any) -> TaskSpec:
    """A checked spec. A command given as one string is run by the shell; `BadInput` names what is wrong."""
    return checked(_convert({"command": command, **options}))


def spec_of(task: dict[str, Any], defaults: dict[str, Any]) -> TaskSpec:
    """A spec of one object of `--from-json`, its keys laid over `defaults`; `env` of both are joined."""
    merged = {**defaults, **task}
    if defaults.get("env") and isinstance(task.get("env"), dict):
        merged["env"] = {**defaults["env"], **task["env"]}
    return checked(_convert(merged))


def tied_of(task: Mapping[str, Any], defaults: dict[str, Any], where: str = "") -> TaskSpec | Tied:
    """The same with the ties of the object, if it has an `id` or `requires` others of its submission."""
    rest, name, requires = parted(task)
    made = spec_of(rest, defaults)
    return made if name is None and not requires else Tied(made, name, requires, where)


def _convert(values: dict[str, Any]) -> TaskSpec:
    values = {_SINGULAR.get(key, key): value for key, value in values.items()}
    if unknown := sorted(values.keys() - _KNOWN):
        raise BadInput(f"a task has no {unknown[0]!r}; it has {', '.join(sorted(_KNOWN))}")
    if isinstance(values.get("command"), str):
        values["command"], values["shell"] = [values["command"]], True
    if values.get("steps"):
        values = _of_first_step(values)
    if isinstance(values.get("stop_signal"), str) and values["stop_signal"]:
        values["stop_signal"] = stop_signal(values["stop_signal"])
    try:
        return msgspec.convert(_read(values), TaskSpec)
    except msgspec.ValidationError as err:
        raise BadInput(f"a task is wrong: {err}") from err


def _of_first_step(values: dict[str, Any]) -> dict[str, Any]:
    """A task of steps shows the command and the container of the first."""
    first = _objects(values["steps"])[0]
    given = {name: value for name, value in values.items() if name not in ("command", "container") or value}
    return {"command": first.get("command", ()), "container": first.get("container"), **given}


def _objects(given: Any) -> list[dict[str, Any]]:
    """Steps, mounts or collects as JSON has them."""
    made = msgspec.to_builtins(given)
    if not isinstance(made, list | tuple) or not all(isinstance(one, dict) for one in made):
        raise BadInput("steps, mounts and collects are lists of objects, such as [{...}]")
    return list(made)


def _read(values: dict[str, Any]) -> dict[str, Any]:
    """What is written as words, as the spec has it."""
    found = dict(values)
    for key, read in _READ.items():
        if isinstance(values.get(key), str | timedelta):
            found[key] = read(values[key])
    for key, read in _READ_ALWAYS.items():
        if values.get(key):
            found[key] = read(values[key])
    return found


def checked(made: TaskSpec) -> TaskSpec:
    """The spec itself if it can be run anywhere; `BadInput` naming the limit it breaks."""
    if not made.command:
        raise BadInput("a task needs a command: write it after the options, such as `longshore submit -- echo hello`")
    try:
        encoded = msgspec.json.encode(made)
    except UnicodeEncodeError as err:
        raise BadInput(f"the command is not UTF-8 ({err}); give such bytes by a file, with --input") from err
    if len(encoded) > MAX_ARGUMENT or b"\\u0000" in encoded:
        _check_words(made)
    if b":-" in encoded:  # every negative number is written so; looking at ten fields of a million tasks takes seconds
        _check_numbers(made)
    if made.secrets:
        _check_secrets(made)
    if made.inputs or made.resources or made.output is not None:
        _check_uris(made)
    if (
        made.checkpoint or made.stop_signal or made.custom or made.alternatives or made.use_cache
        or made.retry_on or made.retry_exits or made.fail_exits or inside.several(made)
    ):  # fmt: skip
        _check_rest(made)
    return made


def _check_secrets(made: TaskSpec) -> None:
    """Whether such secrets can be; whether they are there is for the dispatcher to say."""
    for name in made.secrets:
        if why := confidential.fault(name):
            raise BadInput(why)
        if name in made.env:
            raise BadInput(f"{name} is both a secret and a variable of the environment: leave one of them out")


def _check_rest(made: TaskSpec) -> None:
    """What few tasks have."""
    retries.check(made)
    if inside.several(made):
        _check_inside(made)
    if made.use_cache and made.output is None:
        raise BadInput("what --use-cache uses again are outputs: give an --output too, or leave it out")
    if made.checkpoint or made.stop_signal:
        _check_end(made)
    if made.custom or made.alternatives:
        _check_requests(made)


def _check_inside(made: TaskSpec) -> None:
    """Steps, and what is mounted and collected."""
    from longshore_data import uri as read

    if why := inside.fault(made):
        raise BadInput(why)
    for mount in made.mounts:
        if (filled := _filled(mount.uri)) is not None:
            read.source(filled)
    for one in made.collects:
        if (filled := _filled(one.uri)) is not None:
            read.parse_output(filled)


def _check_uris(made: TaskSpec) -> None:
    """What no agent could read is refused where it was typed; whether it exists is found out where the task runs."""
    from longshore_data import uri as read

    for word in (*made.inputs, *made.resources):
        if (filled := _filled(word)) is not None:
            read.source(filled)
    if made.output is not None and (filled := _filled(made.output)) is not None:
        read.parse_output(filled)


def _filled(word: str) -> str | None:
    """The URI with something in place of `{index}` and so on; None if one of them decides what kind of place it is."""
    _, _, rest = word.partition("://")
    if word.startswith("{") or rest.startswith("{"):
        return None
    return word.replace("{index}", "0").replace("{entry}", "entry").replace("{name}", "name")


def _check_end(made: TaskSpec) -> None:
    """How it is interrupted, and what goes on from there."""
    if made.checkpoint and made.output is None:
        raise BadInput("a checkpoint is kept with the output: give --output URI too, or leave --checkpoint out")
    if made.checkpoint.startswith("/") or ".." in made.checkpoint.split("/"):
        raise BadInput(
            f"the checkpoint {made.checkpoint!r} is no path below $TEMP: give a relative one, such as state/"
        )
    if made.stop_signal:
        stop_signal(made.stop_signal)


def _check_requests(made: TaskSpec) -> None:
    """Of lines that were read as they are: the border is here for them too."""
    amounts.custom(made.custom)
    own = Request(cpus=made.cpus, memory=made.memory, gpus=made.gpus, disk=made.disk, custom=made.custom)
    if made.alternatives and own == Request():
        raise BadInput(
            "it asks for nothing, so there is nothing to be had instead: say with --cpus … what --or replaces"
        )
    for one in made.alternatives:
        request({k: v for k, v in msgspec.structs.asdict(one).items() if v})


def stop_signal(word: str) -> str:
    """`usr1` or `SIGUSR1` as `SIGUSR1`; `BadInput` if there is no such signal."""
    from signal import Signals

    name = word.upper() if word.upper().startswith("SIG") else f"SIG{word.upper()}"
    if name not in Signals.__members__:
        raise BadInput(f"{word!r} is no signal: give a name such as SIGTERM or SIGUSR1")
    return name


def _check_words(made: TaskSpec) -> None:
    words = [*made.command, *(f"{name}={value}" for name, value in made.env.items())]
    for position, word in enumerate(words):
        what = f"argument {position} of the command" if position < len(made.command) else "an environment variable"
        if "\0" in word:
            raise BadInput(f"{what} holds a NUL character, which no program can be given; leave it out")
        if len(word.encode()) > MAX_ARGUMENT:
            raise BadInput(
                f"{what} has {len(word.encode()):,} bytes, Linux allows {MAX_ARGUMENT:,}: "
                "put it into a file and give that by --input"
            )
    total = sum(len(word.encode()) + 9 for word in words)
    if total > MAX_COMMAND:
        raise BadInput(f"command and environment have {total:,} bytes, at most {MAX_COMMAND:,} are allowed: use a file")
    if any("\0" in word for word in (*made.inputs, *made.resources, made.output or "", made.name or "")):
        raise BadInput("a name or URI holds a NUL character; leave it out")


def _check_numbers(made: TaskSpec) -> None:
    for name in (
        "cpus", "memory", "gpus", "disk", "retries", "run_timeout", "download_timeout", "upload_timeout", "grace",
    ):  # fmt: skip
        if getattr(made, name) < 0:
            raise BadInput(f"{name} is not negative: {getattr(made, name)}")
    for name in ("uid", "gid"):
        if (getattr(made, name) or 0) < 0:
            raise BadInput(f"{name} is not negative: {getattr(made, name)}")


def uris(words: Iterable[str], *, cwd: str) -> list[str]:
    """Inputs or resources as URIs: a word may hold several parted by spaces; a plain path becomes `file://` + absolute."""
    found = []
    for word in words:
        pieces = word.split()
        several = len(pieces) > 1 and all("://" in piece for piece in pieces)
        found += [uri(piece, cwd=cwd) for piece in (pieces if several else [word])]
    return found


def uri(word: str, *, cwd: str) -> str:
    """The word itself if it has a scheme or begins with a placeholder, else the absolute path as `file://`."""
    if "://" in word or word.startswith("{"):
        return word
    if found := _ONE_SLASH.match(word):
        meant, path = f"{found[1]}://{word[found.end() :]}", f"./{word}"
        raise BadInput(f"{word!r} has one slash after its scheme: write {meant}, or {path} for a file of that name")
    slash = "/" if word.endswith("/") else ""
    return "file://" + os.path.normpath(os.path.join(cwd, word)) + slash


def batch_name(name: str) -> str:
    """The name itself if a batch can have it."""
    return token(name, "batch")


def key(word: str) -> str:
    """The idempotency key itself; `BadInput` unless it is 1-128 visible ASCII characters, as it becomes a header."""
    if not 1 <= len(word) <= 128 or not all("!" <= c <= "~" for c in word):
        raise BadInput(f"the key {word!r} is not usable: 1-128 letters, digits or signs of ASCII, without spaces")
    return word
