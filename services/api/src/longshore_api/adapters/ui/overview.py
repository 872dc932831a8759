"""The first page: how much runs, how fast it goes, what needs a hand, what happened last. What must not enter: actions."""

from collections.abc import Sequence
from typing import Any, Final

from litestar import Request, Response, get

from longshore_api.adapters import http_history, present
from longshore_api.adapters.doors import House, TheHouse
from longshore_api.adapters.reader import Chronicle
from longshore_api.adapters.ui import charts, questions, words
from longshore_api.adapters.ui.batches import shown as shown_batch
from longshore_api.adapters.ui.entry import TheDesk
from longshore_api.adapters.ui.rendering import page
from longshore_api.adapters.ui.samples import Look
from longshore_api.core.selection import Selection

#: Seconds of each span that the charts can show.
SPANS: Final = {"15m": 900, "1h": 3600, "6h": 6 * 3600, "24h": 86_400, "7d": 7 * 86_400}
#: Share of a disk from which on it is near its end.
_FULL: Final = 0.92
_BATCHES: Final = 6
_FAILED: Final = 5
_EVENTS: Final = 8
#: Events behind which the read model is far behind.
_BEHIND: Final = 5_000
#: What is too frequent to be news.
_QUIET: Final = frozenset({
    "attempts-reported", "attempts-assigned", "resources-held", "submission-accepted", "submission-part-sent",
    "tasks-failed", "tasks-requeued", "requirements-met", "attempts-signalled", "attempts-recalled",
})  # fmt: skip
_NEWS: Final = tuple(kind for kind in sorted(http_history.KINDS) if kind not in _QUIET)


@get("/", include_in_schema=False)
async def overview(request: Request[Any, Any, Any], house: TheHouse, desk: TheDesk) -> Response[bytes]:
    """All of it at a glance."""
    name = request.query_params.get("span", "1h")
    now, seconds = desk.clock.now(), SPANS.get(name, 3600)
    looks = await desk.samples.since(now - seconds)
    workers = await questions.workers_at_a_glance(house.reader)
    totals = await questions.totals(house.reader)
    rows = await questions.open_batches(house.reader, _BATCHES)
    failed = await house.reader.tasks(Selection(states=("failed",)), _FAILED) if totals["failed"] else []
    details = await house.reader.details(failed[:_FAILED])
    values = {
        "totals": totals,
        "pace": desk.samples.pace(),
        "span": name if name in SPANS else "1h",
        "spans": list(SPANS),
        "throughput": _throughput(looks, now - seconds, now),
        "states": _states(looks, now - seconds, now),
        "workers": _tally(workers),
        "alerts": [*await _of_stack(house), *_of_workers(house, workers), *_of_work(totals, workers)],
        "batches": [shown_batch(row, desk.samples, now) for row in rows[:_BATCHES]],
        "more": len(rows) > _BATCHES,
        "failed": [present.task(row, of, whole=False) for row, of in zip(failed[:_FAILED], details, strict=True)],
        "news": await _news(house),
    }
    return page(request, "overview.html", values)


def _throughput(looks: Sequence[Look], begin: float, end: float) -> charts.Chart:
    return charts.chart({"ended a minute": [(look.at, look.pace) for look in looks]}, begin, end)


def _states(looks: Sequence[Look], begin: float, end: float) -> charts.Chart:
    """What was open, as three lines: running, on a worker but not running, and without one."""

    def summed(*states: str) -> list[charts.Point]:
        return [(look.at, float(sum(look.counts.get(s, 0) for s in states))) for look in looks]

    series = {
        "running": summed("running"),
        "on workers": summed("assigned", "staging", "delivering"),
        "queued": summed("queued", "waiting"),
    }
    return charts.chart(series, begin, end)


def _tally(workers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    states: dict[str, int] = {}
    for worker in workers:
        states[worker["state"]] = states.get(worker["state"], 0) + 1
    able = [w for w in workers if w["state"] == "up"]
    slots = sum(max(0, w["concurrency"]) for w in able)
    automatic = any(w["concurrency"] < 0 for w in able)
    return {"states": states, "count": len(workers), "up": len(able), "slots": slots, "automatic": automatic}


async def _of_stack(house: House) -> list[dict[str, str]]:
    found = []
    try:
        behind = await house.last() - house.progress.position
    except Exception:
        found.append(
            alert("bad", "The log does not answer", "Nothing can be submitted or changed until NATS is back.", "")
        )
        behind = 0
    if behind > _BEHIND:
        text = f"These pages are {words.number(behind)} events behind the log"
        found.append(alert("warn", text, "The read model is catching up.", ""))
    if passed := await house.reader.passed_over():
        text = f"{words.plural(passed, 'event')} could not be read by this release"
        found.append(alert("warn", text, "Upgrade the api, then rebuild the read model.", "/events"))
    return found


def _of_workers(house: House, workers: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    found = []
    for state, text in (("lost", "not heard of"), ("quarantined", "in quarantine"), ("hindered", "hindered")):
        those = [w for w in workers if w["state"] == state]
        if those:
            names = ", ".join(w["name"] for w in those[:3]) + (" …" if len(those) > 3 else "")
            title = f"{words.plural(len(those), 'worker')} {text}: {names}"
            found.append(
                alert("bad" if state == "lost" else "warn", title, those[0]["reason"], f"/workers?state={state}")
            )
    for worker in workers:
        for path, used in _full(house.heard.said(worker["name"])):
            text = f"{path} of {worker['name']} is {used:.0f} % full"
            found.append(alert("warn", text, "Clean up what failed attempts left there.", f"/workers/{worker['name']}"))
    return found[:8]


def _full(load: dict[str, Any] | None) -> list[tuple[str, float]]:
    mounts = (load or {}).get("mounts") or {}
    shares = [(path, m["used"] / m["total"]) for path, m in mounts.items() if m and m.get("total")]
    return [(path, 100 * used) for path, used in shares if used >= _FULL]


def _of_work(totals: dict[str, int], workers: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    waiting = totals["queued"]
    if waiting and not any(w["state"] == "up" for w in workers):
        text = f"{words.plural(waiting, 'task')} queued, and no worker takes any"
        return [alert("bad", text, "Start or resume a worker.", "/workers")]
    return []


def alert(level: str, text: str, more: str, link: str) -> dict[str, str]:
    """Something that needs a hand."""
    return {"level": level, "text": text, "more": more, "link": link}


async def _news(house: House) -> list[Any]:
    rows = await house.reader.history(Chronicle(kinds=_NEWS, newest=True), _EVENTS, None)
    page_of = await http_history.told(house.reader, rows, _EVENTS, http_history.whole)
    return page_of.items[::-1]
