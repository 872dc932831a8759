"""Pages of workers: all of them with what their hosts do, and one with charts. What must not enter: actions (see `acting`)."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.params import FromPath

from longshore_api.adapters import http_history, present
from longshore_api.adapters.back import Seen, View
from longshore_api.adapters.doors import House, TheHouse
from longshore_api.adapters.reader import Row
from longshore_api.adapters.ui import charts, questions
from longshore_api.adapters.ui.entry import TheDesk
from longshore_api.adapters.ui.filters import Query
from longshore_api.adapters.ui.overview import SPANS
from longshore_api.adapters.ui.rendering import page
from longshore_api.core import archive, narrative
from longshore_api.core.selection import Selection
from longshore_common.model import ON_WORKER

_PAGE: Final = 100
_LINES: Final = 40
_TASKS: Final = 50
WANTED: Final = ("state", "batch", "q", "at", "after_name")
Load = dict[str, Any]


def cpu(load: Load | None) -> float | None:
    """Percent of all processors that work."""
    found = (load or {}).get("cpu") or {}
    return float((found.get("user") or 0) + (found.get("system") or 0)) if found else None


def iowait(load: Load | None) -> float:
    """Percent of all processors that wait for disks."""
    return float(((load or {}).get("cpu") or {}).get("iowait") or 0)


def memory(load: Load | None) -> float | None:
    """Percent of the memory in use."""
    found = (load or {}).get("memory") or {}
    return 100 * float(found["used"]) / found["total"] if found.get("total") else None


def disk(load: Load | None) -> tuple[str, float] | None:
    """The fullest disk, and by how many percent."""
    mounts = (load or {}).get("mounts") or {}
    shares = [(100 * m["used"] / m["total"], path) for path, m in mounts.items() if m and m.get("total")]
    return (max(shares)[1], max(shares)[0]) if shares else None


def shown(house: House, seen: View, row: Row) -> dict[str, Any]:
    """A worker with what was heard of its host, which is of now only."""
    name = row["name"]
    load = None if seen.past else house.heard.said(name)
    worker = present.worker(row, None if seen.past else house.heard.at(name), load)
    return {"worker": worker, "cpu": cpu(load), "iowait": iowait(load), "memory": memory(load), "disk": disk(load)}


@get("/workers", include_in_schema=False)
async def workers(request: Request[Any, Any, Any], house: TheHouse, seen: Seen) -> Response[bytes]:
    """By name, a hundred at a time; filtered by what they are."""
    query = Query.of("/workers", request.query_params, WANTED)
    everyone = await questions.workers_at_a_glance(seen.reader)
    fitting = [w for w in everyone if _fits(w, query)]
    names = [w["name"] for w in fitting if w["name"] > query.get("after_name")]
    rows = await questions.workers(seen.reader, names[:_PAGE])
    values = {
        "query": Query("/workers", {k: v for k, v in query.words.items() if k != "after_name"}),
        "workers": [shown(house, seen, row) for row in rows],
        "states": _counted(everyone),
        "count": len(fitting),
        "next": query(after_name=names[_PAGE - 1]) if len(names) > _PAGE else None,
        "first": query(after_name=None) if query.get("after_name") else None,
        "batches": await questions.names_of_batches(house.reader, 50),
        "past": seen if seen.past else None,
    }
    return page(request, "workers.html", values)


def _fits(worker: dict[str, Any], query: Query) -> bool:
    text = query.get("q").lower()
    return (
        query.get("state") in ("", worker["state"])
        and query.get("batch") in ("", worker["batch"])
        and (not text or text in worker["name"] or text in worker["hostname"].lower())
    )


def _counted(everyone: Sequence[dict[str, Any]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for worker in everyone:
        found[worker["state"]] = found.get(worker["state"], 0) + 1
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


@get("/workers/{name:str}", include_in_schema=False)
async def worker(
    request: Request[Any, Any, Any], house: TheHouse, seen: Seen, desk: TheDesk, name: FromPath[str]
) -> Response[bytes]:
    """One worker."""
    found = shown(house, seen, await seen.reader.worker(name))
    span = request.query_params.get("span", "1h")
    now, seconds = desk.clock.now(), SPANS.get(span, 3600)
    running = await seen.reader.tasks(Selection(worker=name, states=tuple(ON_WORKER)), _TASKS)
    details = await seen.reader.details(running[:_TASKS])
    visitor = request.scope["user"]
    minutes = [
        (float(row["minute"]) + 30, msgspec.json.decode(row["sample"]))
        for row in await house.reader.metrics(name, now - seconds, 20_000)
    ]
    if found["worker"].load:
        minutes.append((now, found["worker"].load))
    values = {
        **found,
        "charts": _charts(minutes, now - seconds, now),
        "span": span if span in SPANS else "1h",
        "spans": list(SPANS),
        "tasks": [present.task(r, of, whole=False) for r, of in zip(running[:_TASKS], details, strict=True)],
        "why": None if seen.past else await desk.why("worker", name, visitor.user),
        "lines": await _lines(house, name),
        "batches": await questions.names_of_batches(house.reader, 50),
        "query": Query.of(f"/workers/{name}", request.query_params, ("at", "span")),
        "past": seen if seen.past else None,
    }
    return page(request, "worker.html", values)


async def _lines(house: House, name: str) -> list[Any]:
    rows = await house.reader.history_of_last("worker", [name, archive.EVERY], _LINES)
    told = await http_history.told(house.reader, rows, _LINES, lambda _, event: [narrative.of_worker(event)])
    return told.items[::-1]


def _charts(minutes: Sequence[tuple[float, Load]], begin: float, end: float) -> dict[str, charts.Chart]:
    def series(of: Callable[[Load], float | None]) -> list[charts.Point]:
        return [(at, of(sample)) for at, sample in minutes]

    def summed(kind: str, what: str) -> list[charts.Point]:
        return series(lambda s: float(sum((each or {}).get(what) or 0 for each in (s.get(kind) or {}).values())))

    found = {
        "cpu": charts.chart({"working": series(cpu), "waiting for disks": series(iowait)}, begin, end, top=100),
        "memory": charts.chart({"in use": series(memory)}, begin, end, top=100),
        "disks": charts.chart({"read": summed("disks", "read"), "written": summed("disks", "write")}, begin, end),
        "network": charts.chart({"in": summed("network", "in"), "out": summed("network", "out")}, begin, end),
    }
    if any(sample.get("gpus") for _, sample in minutes):
        found["gpu"] = charts.chart({"working": series(_gpu)}, begin, end, top=100)
    return found


def _gpu(sample: Load) -> float | None:
    busy = [g.get("busy", g.get("utilization")) for g in sample.get("gpus") or [] if isinstance(g, dict)]
    known = [float(b) for b in busy if isinstance(b, int | float)]
    return sum(known) / len(known) if known else None
