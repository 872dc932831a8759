"""From rows to TES tasks, in the three views; never a null and never a word that TES does not know.

What must not enter: SQL, who may see what an input holds.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from longshore_api.adapters import present
from longshore_api.adapters.tes.mapping import without_nulls
from longshore_api.core.tes import Told
from longshore_common.ids import attempt_id, task_id
from longshore_common.model import OWN_CAUSES, Output, StepEnd

Row = Any  # an asyncpg.Record
View = Literal["MINIMAL", "BASIC", "FULL"]

#: The states of tasks; `paused` may be laid over any that has not ended.
_STATES: Final = {
    "waiting": "PAUSED", "queued": "QUEUED", "assigned": "INITIALIZING", "staging": "INITIALIZING", "running": "RUNNING",
    "delivering": "RUNNING", "succeeded": "COMPLETE", "cancelled": "CANCELED",
}  # fmt: skip
_told: Final = msgspec.json.Decoder(Told).decode


def state(row: Row) -> str:
    """A task's state in the words of TES."""
    if row["state"] == "failed":
        if row["cause"] in OWN_CAUSES:
            return "EXECUTOR_ERROR"
        return "PREEMPTED" if row["once"] and row["cause"] == "evicted" else "SYSTEM_ERROR"
    if row["paused"] and row["state"] not in ("succeeded", "cancelled"):
        return "PAUSED"
    return _STATES.get(row["state"], "UNKNOWN")


def minimal(row: Row) -> dict[str, Any]:
    """Its id and state."""
    return {"id": task_id(row["submission"], 0), "state": state(row)}


def contents(row: Row) -> dict[str, str]:
    """Ordinal of an input -> where what it holds is kept."""
    return dict(_told(row["document"]).contents)


def whole(row: Row, earlier: Sequence[Row], held: Mapping[str, str] | None) -> dict[str, Any]:
    """All of it; `held` are the contents by their places for the view FULL, None for BASIC."""
    told = _told(row["document"])
    full = held is not None
    task: dict[str, Any] = dict(told.task)
    inputs = [dict(given) for given in task.get("inputs", ())]
    for n, given in enumerate(inputs):
        given.pop("content", None)
        if full and (place := told.contents.get(str(n))) in (held or {}):
            given["content"] = (held or {})[str(place)]
    if inputs:
        task["inputs"] = inputs
    logs = [_log(attempt, attempt["n"], row["submission"], full=full) for attempt in earlier]
    if row["attempt"]:
        logs.append(_log(row, row["attempt"], row["submission"], full=full))
    _say(logs, [*told.warnings, *_verdict(row, logs)], full=full)
    shown: dict[str, Any] = without_nulls(
        {**task, **minimal(row), "creation_time": present.when(row["submitted_at"]), "logs": logs or None}
    )
    return shown


def _verdict(row: Row, logs: list[dict[str, Any]]) -> list[str]:
    """Why a task ended that no attempt tells of."""
    return [str(row["reason"])] if not logs and row["reason"] else []


def _say(logs: list[dict[str, Any]], lines: list[str], *, full: bool) -> None:
    """What is to be said of the task itself stands in its last log; it has one then."""
    if not lines or not full:
        return
    if not logs:
        logs.append({"logs": [], "outputs": []})
    logs[-1]["system_logs"] = [*lines, *(logs[-1].get("system_logs") or ())]


def _log(row: Row, n: int, submission: int, *, full: bool) -> dict[str, Any]:
    """An attempt."""
    said = present.report(row)
    current = row["outcome"] is None
    lines = [f"{row['cause']}: {row['reason']}" if row["cause"] else str(row["reason"])] if row["reason"] else []
    metadata = {
        "attempt": attempt_id(submission, 0, n),
        "worker": row["worker"],
        "state": row["outcome"] or row["state"],
        "cause": row["cause"],
        "image": said.image or None,
    }
    return {
        "logs": _executors(row, said, full=full),
        "outputs": _outputs(said),
        "metadata": metadata,
        "start_time": present.when(row["started_at"] if row["started_at"] is not None else row["assigned_at"]),
        "end_time": None if current else present.when(row["ended_at"]),
        "system_logs": lines if lines and full else None,
    }


def _executors(row: Row, said: present.Report, *, full: bool) -> list[dict[str, Any]]:
    """What is known of each executor that ended; of what they wrote, as much as the report has of it."""
    steps = said.steps
    if not steps and row["exit_code"] is not None:
        begin, end = row["started_at"] or row["assigned_at"], row["ended_at"] or row["assigned_at"]
        out, err = (stream.size if stream else 0 for stream in (said.stdout, said.stderr))
        steps = (StepEnd(row["exit_code"], begin, end, stdout=out, stderr=err),)
    streams = {"stdout": _Tail(said.stdout), "stderr": _Tail(said.stderr)}
    result = []
    for step in steps:
        log: dict[str, Any] = {
            "exit_code": step.exit_code,
            "start_time": present.when(step.started_at),
            "end_time": present.when(step.ended_at),
        }
        for name, tail in streams.items():
            text = tail.next(getattr(step, name))
            log[name] = text or None if full else None
        result.append(log)
    return result


class _Tail:
    """The last bytes of a stream, handed out in the pieces that one step after the other wrote."""

    def __init__(self, output: Output | None) -> None:
        raw = b""
        if output is not None:
            raw = base64.b64decode(output.tail) if output.encoded else output.tail.encode()
        self._raw = raw
        #: Where in the stream the tail begins, and where the next step begins.
        self._begin = max(0, output.size - len(raw)) if output is not None else 0
        self._at = 0

    def next(self, size: int) -> str:
        """As much as the tail has of the next `size` bytes."""
        start, self._at = self._at, self._at + size
        piece = self._raw[max(0, start - self._begin) : max(0, self._at - self._begin)]
        return piece.decode(errors="replace")


def _outputs(said: present.Report) -> list[dict[str, Any]]:
    """Each file that was uploaded; sizes are strings in TES."""
    return [{"url": c.uri, "path": c.path, "size_bytes": str(c.size)} for c in said.collected]
