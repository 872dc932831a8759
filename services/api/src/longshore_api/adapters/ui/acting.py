"""What buttons do: each is a wish in the log, in the name of who pressed it, and the page says what became of it.

What must not enter: what a wish does, who may what (see `permits`).
"""

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from litestar import Request, Response, post
from litestar.datastructures import Cookie, FormMultiDict
from litestar.response import Redirect

from longshore_api.adapters import http_requests, permits, ranging
from longshore_api.adapters.doors import House, TheHouse, Visitor
from longshore_api.adapters.ui import wishes, words
from longshore_api.adapters.ui.entry import TOLD, TheForm, inside
from longshore_api.adapters.ui.rendering import PART
from longshore_api.adapters.ui.tasks import selected
from longshore_api.core import selection
from longshore_common import events as e
from longshore_common.errors import BadInput, Refused
from longshore_common.ids import SubmissionId, TaskRange

#: Seconds for which the answer of a dispatcher is waited for, before the page says that it is still to come.
_PATIENCE: Final = 3.0


@post("/act/tasks", include_in_schema=False, status_code=200)
async def on_tasks(request: Request[Any, Any, Any], house: TheHouse, form: TheForm) -> Response[Any]:
    """Something for the tasks that are ticked, or for all that a filter admits."""
    verb = str(form.get("verb") or "")
    ranges = await _ranges(house, form)
    count = words.plural(sum(map(len, ranges)), "task")
    return await wished(request, house, wishes.of_tasks(verb, ranges, form), f"{_said(verb)} {count}")


async def _ranges(house: House, form: FormMultiDict) -> list[TaskRange]:
    if form.get("all"):
        rows = await house.reader.ranges(selected(str(form.get("query") or "")), ranging.Filters())
        if len(rows) > ranging.MOST:
            raise BadInput("that is too many at once: narrow the filter")
        found = [(r["submission"], r["lo"], r["hi"]) for r in rows]
    else:
        windows = selection.windows(",".join(str(one) for one in form.getall("ids", [])))
        found = [(w.submission, w.lo, w.hi) for w in windows]
    return [TaskRange(SubmissionId(submission), lo, hi) for submission, lo, hi in found]


@post("/act/batch", include_in_schema=False, status_code=200)
async def on_batch(request: Request[Any, Any, Any], house: TheHouse, form: TheForm) -> Response[Any]:
    """Something for a whole batch."""
    verb, batch = str(form.get("verb") or ""), str(form.get("batch") or "")
    return await wished(request, house, [wishes.of_batch(verb, batch)], f"{_said(verb)} batch {batch}")


@post("/act/workers", include_in_schema=False, status_code=200)
async def on_workers(request: Request[Any, Any, Any], house: TheHouse, form: TheForm) -> Response[Any]:
    """Something for the workers that are ticked, or for one."""
    verb = str(form.get("verb") or "")
    names = [str(name) for name in form.getall("workers", [])]
    if form.get("to"):  # the one button of a row that is not about what is ticked
        name, _, slots = str(form["to"]).partition("=")
        resized = wishes.of_workers("resize", [name], {"concurrency": slots})
        return await wished(request, house, [resized], f"{name} has {slots} slots")
    told = f"{_said(verb)} {names[0] if len(names) == 1 else words.plural(len(names), 'worker')}"
    return await wished(request, house, [wishes.of_workers(verb, names, form)], told)


def _said(verb: str) -> str:
    return wishes.DONE.get(verb, f"Asked for {verb.replace('-', ' ')} of")


async def wished(
    request: Request[Any, Any, Any], house: House, events: Iterable[e.Event], told: str, to: str = ""
) -> Response[Any]:
    """Write these wishes and say what became of them; `to`: where to go then."""
    visitor: Visitor = request.scope["user"]
    made = list(events)
    for event in made:
        await permits.permitted(house, visitor, event)
    seqs = [await _written(house, visitor, event) for event in made]
    answers = [await http_requests.became(house, seq, _PATIENCE if k == 0 else 0.0) for k, seq in enumerate(seqs)]
    refused = [a.reason for a in answers if a.answer == "refused"]
    if refused:
        return said(request, f"{told}: refused. {refused[0]}", kind="bad")
    notes = [a.reason for a in answers if a.reason]
    waiting = any(a.answer == "none" for a in answers)
    more = " No answer yet: a dispatcher will see to it." if waiting else f" ({notes[0]})" if notes else ""
    return said(request, f"{told}.{more}", kind="warn" if waiting else "good", to=to, undo=seqs[-1])


async def _written(house: House, visitor: Visitor, event: e.Event) -> int:
    if house.pen is None:
        raise Refused("this api only reads")
    return await house.pen.wish(visitor.user, event)


@post("/act/undo", include_in_schema=False, status_code=200)
async def undo(request: Request[Any, Any, Any], house: TheHouse, form: TheForm) -> Response[Any]:
    """Take back what a wish changed, as far as it can be."""
    text = str(form.get("request") or "")
    if not text.isdigit() or len(text) > 18:
        raise BadInput("which wish is to be undone is not said")
    return await wished(request, house, [e.UndoRequested(request=int(text))], f"Asked to undo {text}")


def said(
    request: Request[Any, Any, Any], text: str, *, kind: str = "good", to: str = "", undo: int = 0
) -> Response[Any]:
    """What happened: to our script as it is, to anybody else on the page they came from."""
    if PART.lower() in request.headers:
        return Response({"text": text, "kind": kind, "to": to, "undo": undo}, media_type="application/json")
    back = request.headers.get("referer", "")
    host = request.headers.get("host", "")
    path = inside(back.partition(host)[2]) if host and host in back else "/"
    note = Cookie(key=TOLD, value=quote(text[:400]), path="/", httponly=True, samesite="strict", max_age=5)
    return Redirect(to or path, status_code=303, cookies=[note])
