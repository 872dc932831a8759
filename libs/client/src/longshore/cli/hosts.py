"""Workers for people: what their hosts do, and what came of looking after them."""

import time
from typing import TYPE_CHECKING, Any

from longshore.cli.printing import data, note, pairs, table
from longshore.quantities import shown_size

if TYPE_CHECKING:
    from longshore.cli.door import Door
    from longshore_common.events import WorkerCareRequested

#: Seconds of one question to the api, which waits itself.
_WAIT = 10.0


def concurrency(worker: dict[str, Any]) -> str | int | None:
    """Slots, or `auto` where what tasks request decides."""
    slots: int | None = worker.get("concurrency")
    return "auto" if slots is not None and slots < 0 else slots


def prefetch(worker: dict[str, Any]) -> str | int | None:
    """Attempts, `50%`, or `auto`."""
    attempts: int | None = worker.get("prefetch")
    if percent := worker.get("prefetch_percent"):
        return f"{percent}%"
    return "auto" if attempts is not None and attempts < 0 else attempts


def cpu(worker: dict[str, Any]) -> str | None:
    """`37 %` of all processors, and what waits for disks: `37 % + 12 % iowait`."""
    shares = (worker.get("load") or {}).get("cpu") or {}
    if not shares:
        return None
    waits = shares.get("iowait") or 0
    busy = (shares.get("user") or 0) + (shares.get("system") or 0)
    return f"{busy:.0f} %" + (f" + {waits:.0f} % iowait" if waits >= 1 else "")


def memory(worker: dict[str, Any]) -> str | None:
    """`1.2G/8G`."""
    found = (worker.get("load") or {}).get("memory") or {}
    return f"{shown_size(found['used'])}/{shown_size(found['total'])}" if found.get("total") else None


def disk(worker: dict[str, Any]) -> str | None:
    """How full the fullest of its disks is: `81 % /data`."""
    mounts = (worker.get("load") or {}).get("mounts") or {}
    shares = [(100 * m["used"] / m["total"], path) for path, m in mounts.items() if m and m.get("total")]
    return f"{max(shares)[0]:.0f} % {max(shares)[1]}" if shares else None


def show_worker(found: dict[str, Any]) -> None:
    """One worker: what it is, what its host does, what it was told."""
    load, cares = found.pop("load", None), found.pop("cares", None) or []
    found |= {"concurrency": concurrency(found), "prefetch": prefetch(found)}
    found.pop("prefetch_percent", None)
    pairs(found)
    if load:
        data("")
        pairs(_load({"load": load}))
    if cares:
        data("")
        lines = ((c, k, line) for c in cares for k, line in enumerate(c["text"].split("\n")))
        table(
            ("at", "care", "text", "freed"),
            ([c["at"], c["care"], line, _freed(c["freed"])] if k == 0 else ["", "", line, ""] for c, k, line in lines),
        )


def _load(worker: dict[str, Any]) -> dict[str, Any]:
    """What the last beat said, a line each."""
    load = worker["load"]
    lines: dict[str, Any] = {"cpu": cpu(worker), "memory": memory(worker), "load": load.get("load")}
    for path, m in (load.get("mounts") or {}).items():
        lines[f"disk {path}"] = f"{shown_size(m['used'])}/{shown_size(m['total'])}"
    for name, rates in {**(load.get("disks") or {}), **(load.get("network") or {})}.items():
        lines[name] = ", ".join(f"{what} {shown_size(rate)}/s" for what, rate in rates.items())
    for k, gpu in enumerate(load.get("gpus") or []):
        lines[f"gpu {k}"] = gpu
    return {**lines, "slots": load.get("slots"), "hindered": load.get("hindered")}


def _came_of_it(worker: str, text: str, freed: int) -> None:
    """What one worker says; several lines, such as a doctor's, are printed whole."""
    lines = text.split("\n")
    if len(lines) == 1:
        table(("worker", "text", "freed"), [(worker, text, _freed(freed))])
    for line in lines if len(lines) > 1 else ():
        data(f"{worker}\t{line}")


def _freed(size: int) -> str | None:
    return shown_size(size) if size else None


def care(door: "Door", event: "WorkerCareRequested", patience: float) -> int:
    """Ask it of the workers and print what each says came of it; 1 if some said nothing for `patience` seconds."""
    seq = door.wish(event)
    until = time.monotonic() + patience
    told: set[str] = set()
    while True:
        left = until - time.monotonic()
        answer = door.reader.answer(seq, wait=round(max(0.0, min(_WAIT, left)), 3), cared=True)
        for one in answer.cares:
            if one.worker not in told:
                told.add(one.worker)
                _came_of_it(one.worker, one.text or event.care, one.freed)
        silent = [name for name in answer.workers if name not in told]
        if answer.answer != "none" and not silent:
            return 0
        if left <= 0:
            break
    for name in silent or ["nobody"]:
        note(f"{name} has not said yet what came of it: see `longshore worker show {name}` later")
    return 1
