"""How an answer goes over the wire: the fields that were asked for, an ETag, gzip. What must not enter: what is answered."""

import zlib
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, Final

import msgspec
from litestar import Response
from litestar.response.base import ASGIResponse

from longshore_common.errors import BadInput

#: Bytes below which compressing costs more than it spares.
WORTH: Final = 1_400
_GZIP: Final = 16 + zlib.MAX_WBITS


class Answered(Response[Any]):
    """The answer of every route that gives back a struct."""

    def to_asgi_response(self, app: Any, request: Any, **given: Any) -> ASGIResponse:
        """The bytes; 304 if the reader has them already."""
        wanted = request.query_params.get("fields") if request.method == "GET" else None
        if wanted:
            self.content = picked(self.content, wanted)
        made = super().to_asgi_response(app, request, **given)
        if request.method == "GET" and made.status_code == 200:
            _tagged(made, request)
        if made.body and len(made.body) >= WORTH and _takes_gzip(request):
            _zipped(made)
        return made


def _tagged(made: ASGIResponse, request: Any) -> None:
    tag = f'W/"{blake2b(made.body, digest_size=10).hexdigest()}"'
    made.headers["etag"] = tag
    made.headers["cache-control"] = "private, no-cache"
    asked = request.headers.get("if-none-match")
    if asked and (asked.strip() == "*" or tag in (word.strip() for word in asked.split(","))):
        made.status_code, made.body = 304, b""
        del made.headers["content-length"]
        del made.headers["content-type"]


def _takes_gzip(request: Any) -> bool:
    return "gzip" in request.headers.get("accept-encoding", "")


def _zipped(made: ASGIResponse) -> None:
    packing = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    made.body = packing.compress(made.body) + packing.flush()
    made.headers["content-encoding"] = "gzip"
    made.headers["vary"] = "Accept-Encoding"
    made.headers["content-length"] = str(len(made.body))


def picked(content: Any, wanted: str) -> Any:
    """Only these fields of each item, or of the one thing; `BadInput` names those there are."""
    names = [name for name in wanted.replace(" ", "").split(",") if name]
    items = getattr(content, "items", None)
    if isinstance(items, list):
        return {
            **{name: getattr(content, name) for name in content.__struct_fields__ if name != "items"},
            "items": [_some(item, names) for item in items],
        }
    return _some(content, names) if isinstance(content, msgspec.Struct) else content


def _some(item: Any, names: Iterable[str]) -> Any:
    if not isinstance(item, msgspec.Struct):
        return item
    if odd := [name for name in names if name not in item.__struct_fields__]:
        raise BadInput(f"fields: there is no {odd[0]!r}, but {', '.join(item.__struct_fields__)}")
    return {name: getattr(item, name) for name in names}
