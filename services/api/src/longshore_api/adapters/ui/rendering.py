"""From a template and its values to an answer: whole, or only what is inside the frame; 304 if the browser has it.

What must not enter: rows, routes.
"""

import gzip
import re
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Request, Response
from markupsafe import Markup, escape

from longshore_api.adapters import present
from longshore_api.adapters.doors import Visitor
from longshore_api.adapters.ui import assets, words
from longshore_api.core.rows import OPEN_STATES, TASK_STATES

#: The header by which our script asks for the inside of a page.
PART: Final = "Longshore-Part"
#: Bytes from which on packing is worth its time.
_WORTH: Final = 1_400
HTML: Final = "text/html; charset=utf-8"
#: Nothing but what we serve ourselves, no script or style inside a page, nobody's frame.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}

_pages: Final = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True, auto_reload=False, cache_size=100,
)  # fmt: skip
#: How a sentence begins that is about one thing: a task, a submission, a worker.
_ABOUT: Final = re.compile(r"(\d+\.\d+)(?=[:, ])|submission (\d+)\b|worker ([a-z0-9][a-z0-9_-]*)(?=[:, ])")


def linked(text: str) -> Markup:
    """A sentence whose first words lead to what it is about."""
    found = _ABOUT.match(text)
    if found is None:
        return escape(text)
    task, submission, worker = found.groups()
    place = f"/tasks/{task}" if task else f"/tasks?submission={submission}" if submission else f"/workers/{worker}"
    return Markup('<a href="{}">{}</a>{}').format(place, found[0], text[found.end() :])


_pages.filters |= {
    "size": words.size, "binary": words.binary, "span": words.span, "number": words.number, "rate": words.rate,
    "command": words.command, "iso": present.when, "linked": linked,
}  # fmt: skip
_pages.globals |= {
    "asset": assets.path, "words": words, "STATES": TASK_STATES, "OPEN": OPEN_STATES, "plural": words.plural,
}  # fmt: skip


class Frame:
    """What every page knows: who looks, where, the stamp of its forms, and a note from the action before."""

    def __init__(self, path: str, visitor: Visitor | None, stamp: str = "", told: str = "") -> None:
        self.path = path
        self.visitor = visitor
        self.stamp = stamp
        self.told = told

    def may(self, role: Any) -> bool:
        """Whether who looks may do what this role may."""
        return self.visitor is not None and self.visitor.may(role)

    def here(self, place: str) -> bool:
        """Whether this page is in that part of the menu."""
        return self.path == place if place == "/" else self.path == place or self.path.startswith(f"{place}/")


def html(name: str, values: Mapping[str, Any]) -> str:
    """The text of a template."""
    return _pages.get_template(name).render(values)


def page(
    request: Request[Any, Any, Any], name: str, values: Mapping[str, Any], *, status: int = 200
) -> Response[bytes]:
    """The page, or its inside; with a tag of its content, so that what did not change is not sent."""
    part = PART.lower() in request.headers
    text = html(name, {"frame": request.state.frame, "base": "part.html" if part else "layout.html", **values})
    body = text.encode()
    tag = f'"{blake2b(body, digest_size=9).hexdigest()}"'
    headers = {**HEADERS, "Cache-Control": "private, no-cache", "Vary": f"{PART}, Cookie, Accept-Encoding", "ETag": tag}
    if status == 200 and request.headers.get("if-none-match") == tag:
        return Response(b"", status_code=304, headers=headers, media_type=HTML)
    if len(body) > _WORTH and "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["Content-Encoding"] = gzip.compress(body, 2, mtime=0), "gzip"
    return Response(body, status_code=status, headers=headers, media_type=HTML)
