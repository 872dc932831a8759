"""From a TES task to a submission of one task of several steps. What must not enter: requests, storage, the log.

What an input holds goes beside it, never into it: the submission has the address under which it is fetched.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import msgspec

from longshore_api.adapters.tes import parameters, wire
from longshore_api.core.tes import TES, Told
from longshore_common import inside
from longshore_common.errors import BadInput
from longshore_common.events import TasksSubmitted
from longshore_common.model import Array, Collect, Mount, Step, TaskSpec
from longshore_data import uri

#: Where a task goes that names no batch.
BATCH: Final = "tes"
#: TES counts in these.
GIGA: Final = 10**9
#: Executors, inputs, outputs or volumes of one task at most, and bytes of what is not content.
MOST: Final = 10_000
LARGEST: Final = 1_000_000
_WILD: Final = frozenset("*?[")
_MOST_AMOUNT: Final = 1e6


class Content(NamedTuple):
    """Bytes that an input holds: `id` is where they are kept, `url` whence they are fetched while the task goes on."""

    id: str
    url: str
    body: bytes


class Created(NamedTuple):
    """A submission, and what must be kept before it is appended."""

    event: TasksSubmitted
    contents: list[Content]


def created(task: wire.Task, key: str, kept: Callable[[bytes], Content]) -> Created:
    """The submission that this task asks for; `kept` finds a place for each content. `BadInput` names the field."""
    _whole(task)
    resources = task.resources or wire.Resources()
    asked, warnings = parameters.asked(
        resources.backend_parameters or {}, strict=bool(resources.backend_parameters_strict)
    )
    if resources.zones:
        warnings.append("resources.zones are not used here")
    contents: dict[int, Content] = {}
    mounts = [_mount(n, given, contents, kept) for n, given in enumerate(task.inputs or ())]
    _apart([m.path for m in mounts], "inputs")
    steps = tuple(_step(n, executor) for n, executor in enumerate(task.executors))
    fields: dict[str, Any] = {
        "name": task.name or None,
        "container": steps[0].container,
        "cpus": _amount("cpu_cores", resources.cpu_cores),
        "memory": int(_amount("ram_gb", resources.ram_gb) * GIGA),
        "disk": int(_amount("disk_gb", resources.disk_gb) * GIGA),
        "steps": steps,
        "mounts": tuple(mounts),
        "collects": tuple(_collect(n, given) for n, given in enumerate(task.outputs or ())),
        "volumes": tuple(_absolute(path, f"volumes[{n}]") for n, path in enumerate(task.volumes or ())),
    }
    spec = TaskSpec(command=steps[0].command, **(fields | asked.task))
    if wrong := inside.fault(spec):
        raise BadInput(wrong)
    told = Told(
        task=_document(task, asked.shown),
        contents={str(n): content.id for n, content in contents.items()},
        warnings=tuple(warnings),
    )
    submission: dict[str, Any] = {"batch": BATCH} | asked.submission
    event = TasksSubmitted(
        key=key,
        body=Array(spec=spec, size=1),
        name=task.name or None,
        tags={name: value or "" for name, value in (task.tags or {}).items()},
        description=task.description or "",
        document={TES: msgspec.to_builtins(told)},
        **submission,
    )
    return Created(event, list(contents.values()))


def _whole(task: wire.Task) -> None:
    """`BadInput` for what no host could do, and for what the log should not hold."""
    if not task.executors:
        raise BadInput("executors: there is none; give at least one")
    for name in ("executors", "inputs", "outputs", "volumes"):
        if len(getattr(task, name) or ()) > MOST:
            raise BadInput(f"{name}: more than {MOST} are too many for one task")
    bare = msgspec.structs.replace(
        task, inputs=tuple(msgspec.structs.replace(given, content=None) for given in task.inputs or ())
    )
    text = msgspec.json.encode(bare)
    if len(text) > LARGEST:
        raise BadInput(f"the task has {len(text)} bytes beside its contents, at most {LARGEST} are taken: use inputs")
    if b"\\u0000" in text and _holds_nul(msgspec.to_builtins(bare)):
        raise BadInput("a text of the task holds a NUL character, which no program and no path can have: remove it")


def _holds_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_nul(v) for pair in value.items() for v in pair)
    if isinstance(value, list | tuple):
        return any(map(_holds_nul, value))
    return isinstance(value, str) and "\0" in value


def _step(n: int, given: wire.Executor) -> Step:
    where = f"executors[{n}]"
    if not given.image:
        raise BadInput(f"{where}.image: it is empty; name an image")
    if not given.command or not given.command[0]:
        raise BadInput(f"{where}.command: it is empty; give at least a program")
    env = {name: value or "" for name, value in (given.env or {}).items()}
    if wrong := [name for name in env if not name or "=" in name]:
        raise BadInput(f"{where}.env: {wrong[0][:80]!r} can name no variable")
    paths = {
        name: _absolute(path, f"{where}.{name}", root=name == "workdir")
        for name in ("workdir", "stdin", "stdout", "stderr")
        if (path := getattr(given, name))
    }
    return Step(command=given.command, container=given.image, env=env, ignore_error=bool(given.ignore_error), **paths)


def _mount(n: int, given: wire.Input, contents: dict[int, Content], kept: Callable[[bytes], Content]) -> Mount:
    where = f"inputs[{n}]"
    path, directory = _absolute(given.path, f"{where}.path"), _directory(given.type, f"{where}.type")
    if given.content or (given.content is not None and not given.url):
        if directory:
            raise BadInput(f"{where}.type: a DIRECTORY has no content: give its url")
        contents[n] = kept(given.content.encode())
        return Mount(uri=contents[n].url, path=path)
    if not given.url:
        raise BadInput(f"{where}: it has neither a url nor a content: give one of them")
    return Mount(uri=_source(given.url, f"{where}.url", folder=directory), path=path, directory=directory)


def _collect(n: int, given: wire.Output) -> Collect:
    where = f"outputs[{n}]"
    path, directory = _absolute(given.path, f"{where}.path"), _directory(given.type, f"{where}.type")
    wild = bool(_WILD & set(path))
    url = _target(given.url, f"{where}.url", folder=wild or directory)
    prefix = _prefix(given.path_prefix, path, f"{where}.path_prefix") if wild else ""
    return Collect(path=path, uri=url, directory=directory and not wild, prefix=prefix)


def _prefix(given: str | None, path: str, where: str) -> str:
    """What is taken off each match of `path`, without a slash at its end."""
    if not given:
        raise BadInput(f"{where}: it is needed, since the path has wildcards: give what is taken off each match")
    prefix = _absolute(given, where, root=True).rstrip("/")
    if not path.startswith(f"{prefix}/"):
        raise BadInput(f"{where}: {given[:200]!r} is no folder that {path[:200]!r} is below")
    return prefix or "/"


def _directory(kind: str | None, where: str) -> bool:
    if (kind or "FILE").upper() not in ("FILE", "DIRECTORY"):
        raise BadInput(f"{where}: {str(kind)[:80]!r} is neither FILE nor DIRECTORY")
    return (kind or "").upper() == "DIRECTORY"


def _absolute(path: str, where: str, *, root: bool = False) -> str:
    """A path in a container without anything that is not needed in it; `root`: it may be / itself."""
    segments = [s for s in path.split("/") if s not in ("", ".")]
    if not path.startswith("/") or ".." in segments or not (segments or root):
        raise BadInput(f"{where}: {path[:200]!r} is no absolute path {'' if root else 'below / '}without '..'")
    return "/" + "/".join(segments)


def _apart(paths: Iterable[str], where: str) -> None:
    seen: set[str] = set()
    for path in paths:
        if path in seen:
            raise BadInput(f"{where}: {path!r} stands twice: give each a path of its own")
        seen.add(path)


def _source(url: str, where: str, *, folder: bool) -> str:
    text = _as_uri(url, folder=folder)
    try:
        uri.source(text)
    except BadInput as err:
        raise BadInput(f"{where}: {err}") from err
    return text


def _target(url: str, where: str, *, folder: bool) -> str:
    text = _as_uri(url, folder=folder)
    try:
        uri.parse_output(text)
        if not folder and uri.parse(text).folder:
            raise BadInput(f"{text!r} is a folder: name the file, or say type DIRECTORY")
    except BadInput as err:
        raise BadInput(f"{where}: {err}") from err
    return text


def _as_uri(url: str, *, folder: bool) -> str:
    text = f"file://{url}" if url.startswith("/") else url
    return text if text.endswith("/") or not folder else f"{text}/"


def _amount(name: str, value: float | None) -> float:
    if value is None:
        return 0
    if not 0 <= value <= _MOST_AMOUNT:
        raise BadInput(f"resources.{name}: {value} is not between 0 and {_MOST_AMOUNT:.0f}")
    return value


def _document(task: wire.Task, parameters: dict[str, str]) -> dict[str, Any]:
    """The task as it is shown again: without contents, without what was left out, with each type said."""
    inputs = tuple(
        msgspec.structs.replace(
            given,
            type=(given.type or "FILE").upper(),
            url=None if given.content else given.url or None,
            content="" if given.content or (given.content is not None and not given.url) else None,
        )
        for given in task.inputs or ()
    )
    outputs = tuple(msgspec.structs.replace(given, type=(given.type or "FILE").upper()) for given in task.outputs or ())
    resources = task.resources
    if resources is not None:
        cores = resources.cpu_cores
        whole_cores = int(cores) if cores is not None and cores == int(cores) else cores  # 1.1 knows whole ones alone
        resources = msgspec.structs.replace(resources, backend_parameters=parameters or None, cpu_cores=whole_cores)
    whole = msgspec.structs.replace(task, inputs=inputs or None, outputs=outputs or None, resources=resources)
    found: dict[str, Any] = without_nulls(msgspec.to_builtins(whole))
    return found


def without_nulls(value: Any) -> Any:
    """The same without what is null: clients refuse nulls they did not expect."""
    if isinstance(value, dict):
        return {key: without_nulls(each) for key, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [without_nulls(each) for each in value]
    return value
