"""Whether a stack serves: what the supervisor says of its parts, and what the API answers.

What must not enter: starting, stopping, repairing.
"""

import http.client
from pathlib import Path
from typing import Any

import msgspec

from longshore_common.clock import iso
from longshore_common.damage import DAMAGED
from longshore_infra.stack.layout import Layout, Ports
from longshore_infra.supervisor import identity
from longshore_infra.supervisor.files import read_json
from longshore_infra.supervisor.plan import Report

_ANSWER_WITHIN = 2.0  # seconds


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """stack.json: what the last `up` made. `parts` in the order of starting."""

    ports: Ports
    nats_url: str
    api_url: str
    workers: list[str]
    concurrency: int
    parts: list[str]


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A supervised part. `since`: ISO 8601, last change of state; `pid` is None while it does not run."""

    name: str
    pid: int | None
    state: str
    since: str
    restarts: int
    last_exit: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A stack as it is. `supervisor`: its pid, None if nothing runs; `missing`: why it is not ready, "" if it is."""

    state_dir: str
    ready: bool
    missing: str
    supervisor: int | None
    processes: list[Process]
    urls: dict[str, str]


def status(state_dir: Path) -> dict[str, Any]:
    """`look` as plain data."""
    found: dict[str, Any] = msgspec.to_builtins(look(state_dir))
    return found


def look(state_dir: Path) -> Status:
    """How the stack of this directory is; never raises for one that does not run. Takes at most a few seconds."""
    layout = Layout(state_dir.absolute())
    supervisor, report = layout.running(), layout.report()
    stack = read_json(layout.stack_file, Stack)
    why = missing(layout, stack) if supervisor is not None and stack is not None else "it is not running"
    return Status(
        state_dir=str(layout.root), ready=not why, missing=why, supervisor=supervisor,
        processes=_processes(report, running=supervisor is not None),
        urls={"api": stack.api_url, "nats": stack.nats_url} if stack is not None else {},
    )  # fmt: skip


def missing(layout: Layout, stack: Stack) -> str:
    """What is not there yet for the stack to serve, "" if nothing is."""
    report = layout.report()
    if report is None or not identity.alive(report.supervisor):
        return "the supervisor is not up"
    down = [p.name for p in report.parts if p.state != "running"]
    if down:
        return f"{', '.join(down)} not running"
    return _api_lacks(layout, stack)


def culprits(layout: Layout) -> list[str]:
    """The parts to look at first: those that died, else all of our services."""
    report = layout.report()
    parts = report.parts if report else []
    return [p.name for p in parts if p.restarts or p.state != "running"] or [p.name for p in parts]


def last_words(layout: Layout, *parts: str) -> str:
    """The last few lines of these parts' logs that tell of trouble, each on a line of its own with its part."""
    found = []
    for part in parts:
        lines = _tail(layout.log(part))
        troubled = [text for level, text in lines if level in ("warning", "error", "critical", "exception")]
        found += [f"\n  {part}: {text}" for text in list(dict.fromkeys(troubled))[-5:]]
    return "".join(found)


def _processes(report: Report | None, *, running: bool) -> list[Process]:
    if report is None:
        return []
    return [
        Process(
            name=p.name, pid=p.identity.pid if running and p.identity else None,
            state=p.state if running else "stopped", since=iso(p.since), restarts=p.restarts, last_exit=p.last_exit,
        )
        for p in report.parts
    ]  # fmt: skip


def _api_lacks(layout: Layout, stack: Stack) -> str:
    try:
        if not _get(stack, "/readyz", "").get("ready"):
            return "the api is not ready"
        token = (layout.secrets / "api-token").read_text()
        up = {w["name"] for w in _get(stack, "/api/v1/workers", token)["items"] if w["state"] in ("up", "paused")}
    except (OSError, http.client.HTTPException, *DAMAGED, KeyError) as err:
        return f"the api does not answer ({type(err).__name__}: {err})"
    absent = [w for w in stack.workers if w not in up]
    return f"{', '.join(absent)} not joined" if absent else ""


def _get(stack: Stack, path: str, token: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection(stack.api_url.removeprefix("http://"), timeout=_ANSWER_WITHIN)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status not in (200, 503):
            raise http.client.HTTPException(f"{path} answers {answer.status}")
        return msgspec.json.decode(body, type=dict[str, Any])
    finally:
        connection.close()


def _tail(log: Path) -> list[tuple[str, str]]:
    """(level, event) of the lines in the last 64 KiB."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 65536))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    return [_trouble(line) for line in lines if line]


def _trouble(line: bytes) -> tuple[str, str]:
    try:
        said = msgspec.json.decode(line, type=dict[str, Any])
    except DAMAGED:
        return ("warning", line.decode(errors="replace"))
    details = said.get("exception") or said.get("reason") or said.get("error") or ""
    return str(said.get("level", "info")), f"{said.get('event', '')} {details}".strip()
