"""A task for people: how far its transfers are, and where what its attempts left behind lies."""

from typing import Any

from longshore.cli.printing import command_line, data, pairs, table
from longshore.quantities import shown_duration, shown_size
from longshore_common.errors import BadInput

_HEADS = ("n", "state", "worker", "exit_code", "cause", "reason", "started_at", "ended_at", "peak_memory")


def show_task(found: dict[str, Any]) -> None:
    """One task with its attempts, and a line for each thing that an attempt left."""
    attempts = found.pop("attempts")
    pairs({**found, "command": command_line(found.get("command") or ()), "progress": far(found.get("progress"))})
    if not attempts:
        return
    data("")
    table(_HEADS, ([attempt.get(head) for head in _HEADS] for attempt in attempts))
    for line in (line for attempt in attempts for line in _left(found, attempt)):
        data(line)


def state_of(task: dict[str, Any]) -> str:
    """The state, and while bytes move how many of them have: `staging 45 %`."""
    progress = task.get("progress")
    if not progress or not progress.get("total"):
        return str(task.get("state"))
    return f"{task['state']} {100 * progress['done'] // progress['total']} %"


def far(progress: dict[str, Any] | None) -> str:
    """`1.2 GB of 4 GB (30 %), 110 MB/s, 25s to go`, "" if nothing moves."""
    if not progress:
        return ""
    parts = [shown_size(progress["done"])]
    if total := progress.get("total"):
        parts[0] += f" of {shown_size(total)} ({100 * progress['done'] // total} %)"
    if rate := progress.get("rate"):
        parts.append(f"{shown_size(rate)}/s")
    if (eta := progress.get("eta")) is not None:
        parts.append(f"{shown_duration(eta)} to go")
    return ", ".join(parts)


def _left(task: dict[str, Any], attempt: dict[str, Any]) -> list[str]:
    """What this attempt left, and where."""
    name = f"attempt {attempt['n']}"
    lines = [f"{name} ran in image {attempt['image']}"] if attempt.get("image") else []
    lines += _steps(name, attempt)
    if attempt.get("checkpoint"):
        lines.append(f"{name} saved its checkpoint: the next one goes on from there")
    if attempt.get("kept"):
        lines.append(f"{name} left its work directory on {attempt['worker']}: longshore task debug {task['id']} --kept")
    if attempt.get("delivered_bytes") and attempt["state"] in ("failed", "cancelled", "superseded", "lost"):
        place = private_place(task, attempt["id"])
        lines += [f"{name} delivered, but never published: {place}"] if place else []
    return lines


def _steps(name: str, attempt: dict[str, Any]) -> list[str]:
    """How its steps ended, and what was collected."""
    lines = []
    for number, step in enumerate(attempt.get("steps") or (), 1):
        cause = f" ({step['cause']})" if step.get("cause") else ""
        times = f"{step.get('started_at') or '?'} to {step.get('ended_at') or '?'}"
        lines.append(f"{name} step {number} ended with exit code {step['exit_code']}{cause}, {times}")
    for one in attempt.get("collected") or ():
        lines.append(f"{name} uploaded {one['path']} to {one['uri']} ({shown_size(one['size'])})")
    return lines


def private_place(task: dict[str, Any], attempt: str) -> str:
    """Where an attempt's outputs lie until they are published; "" if it has none or nobody can tell."""
    from longshore_data import uri

    if not task.get("output"):
        return ""
    try:
        output = uri.expand(task["output"], task.get("label") or 0, task.get("entry") or "")
        return str(uri.private(uri.parse_output(output), attempt))
    except BadInput:
        return ""
