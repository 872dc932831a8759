"""The form that submits a task or an array of them. What must not enter: what becomes of it."""

import secrets
import shlex
from collections.abc import Mapping
from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.datastructures import FormMultiDict

from longshore_api.adapters.doors import TheHouse, submitters
from longshore_api.adapters.ui import questions
from longshore_api.adapters.ui.acting import wished
from longshore_api.adapters.ui.entry import TheForm
from longshore_api.adapters.ui.rendering import page
from longshore_common import events as e
from longshore_common.errors import BadInput
from longshore_common.model import Array, TaskSpec

_UNITS: Final = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_TIMES: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_MOST: Final = 10_000_000
DEFAULT_BATCH: Final = "default"


@get("/submit", include_in_schema=False, guards=[submitters])
async def submit(request: Request[Any, Any, Any], house: TheHouse) -> Response[bytes]:
    """The empty form, or one filled from a task."""
    batches = await questions.names_of_batches(house.reader, 50)
    given = {name: request.query_params.get(name, "") for name in ("command", "batch", "container", "name")}
    return page(request, "submit.html", {"batches": batches, "given": given, "key": secrets.token_hex(16)})


@post("/act/submit", include_in_schema=False, guards=[submitters], status_code=200)
async def submitted(request: Request[Any, Any, Any], house: TheHouse, form: TheForm) -> Response[Any]:
    """A submission with the key of this form: sent twice, it is one."""
    event = submission(form)
    size = event.body.size if isinstance(event.body, Array) else 1
    told = f"Submitted {size:,} {'task' if size == 1 else 'tasks'} to {event.batch}"
    return await wished(request, house, [event], told, to=f"/batches/{event.batch}")


def submission(form: FormMultiDict) -> e.TasksSubmitted:
    """What the form says; `BadInput` names the field."""
    given = {name: str(form.get(name) or "").strip() for name in form}
    size, start, step = _array(given.get("array", ""))
    return e.TasksSubmitted(
        key=given.get("key") or secrets.token_hex(16),
        batch=given.get("batch") or DEFAULT_BATCH,
        name=given.get("name") or None,
        priority=_whole(given, "priority", negative=True),
        held=bool(given.get("held")),
        body=Array(spec=spec_of(given), size=size, start=start, step=step),
    )


def spec_of(given: Mapping[str, str]) -> TaskSpec:
    """The spec that a form says; `BadInput` names the field."""
    shell = bool(given.get("shell"))
    return TaskSpec(
        command=_command(given.get("command", ""), shell=shell),
        shell=shell,
        container=given.get("container") or None,
        inputs=tuple(given.get("inputs", "").split()),
        resources=tuple(given.get("resources", "").split()),
        output=given.get("output") or None,
        env=_environment(given.get("env", "")),
        cpus=_number(given, "cpus"),
        memory=amount(given.get("memory", ""), "memory"),
        disk=amount(given.get("disk", ""), "disk"),
        gpus=_whole(given, "gpus"),
        retries=_whole(given, "retries"),
        run_timeout=seconds(given.get("run_timeout", ""), "time limit"),
    )


def _command(text: str, *, shell: bool) -> tuple[str, ...]:
    if not text.strip():
        raise BadInput("command: say what is to run")
    if shell:
        return (text.replace("\r\n", "\n"),)
    try:
        return tuple(shlex.split(text))
    except ValueError as err:
        raise BadInput(f"command: {err}; or tick “run by the shell”") from err


def _environment(text: str) -> dict[str, str]:
    found = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise BadInput(f"environment: {line!r} is not NAME=value")
        found[name.strip()] = value
    return found


def _array(text: str) -> tuple[int, int, int]:
    """(size, start, step) of `0-99`, `0-99:2` or `100`."""
    if not text:
        return 1, 0, 1
    ends, _, step_text = text.partition(":")
    first, dash, last = ends.partition("-")
    words = [first, last if dash else "0", step_text or "1"]
    if not all(word.isdigit() and len(word) < 12 for word in words):
        raise BadInput(f"array: {text!r} is not like 0-99, 0-99:2, or 100")
    begin, end, step = int(words[0]), int(words[1]), int(words[2])
    if not dash:
        begin, end = 0, begin - 1
    size = (end - begin) // step + 1 if step else 0
    if not 1 <= size <= _MOST:
        raise BadInput(f"array: {text!r} is {size:,} tasks: from 1 to {_MOST:,} can be submitted here")
    return size, begin, step


def _whole(given: Mapping[str, str], name: str, *, negative: bool = False) -> int:
    text = given.get(name) or "0"
    if not text.removeprefix("-" if negative else "").isdigit() or len(text) > 9:
        raise BadInput(f"{name}: {text!r} is no whole number")
    return int(text)


def _number(given: Mapping[str, str], name: str) -> float:
    text = given.get(name) or "0"
    try:
        found = float(text)
    except ValueError as err:
        raise BadInput(f"{name}: {text!r} is no number") from err
    if not 0 <= found < 1e6:
        raise BadInput(f"{name}: {text} is no amount that a host has")
    return found


def amount(text: str, what: str) -> int:
    """Bytes of `4G`, `512M`, `1.5GiB`, binary."""
    word = text.strip().lower().removesuffix("ib").removesuffix("b") if text.strip().lower() != "b" else ""
    unit = word[-1:] if word[-1:] in "kmgt" else ""
    try:
        found = float(word.removesuffix(unit) or 0) * (1 << _UNITS[unit])
    except ValueError as err:
        raise BadInput(f"{what}: {text!r} is no size: write 512M, 4G or bytes") from err
    if not 0 <= found < 2**60:
        raise BadInput(f"{what}: {text} is no size that a host has")
    return int(found)


def seconds(text: str, what: str) -> float:
    """Seconds of `90`, `15m`, `2h`, `1d`."""
    word = text.strip().lower()
    unit = word[-1:] if word[-1:] in "smhd" else ""
    try:
        found = float(word.removesuffix(unit) or 0) * _TIMES[unit]
    except ValueError as err:
        raise BadInput(f"{what}: {text!r} is no time: write 90, 15m, 2h or 1d") from err
    if not 0 <= found < 1e9:
        raise BadInput(f"{what}: {text} is too long")
    return found
