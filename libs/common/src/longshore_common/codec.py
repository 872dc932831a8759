"""Events to bytes and back, with CloudEvents 1.0 attributes as headers (binary mode of its NATS binding).

Strict: an unknown tag, field or state is `Unreadable` with the bytes in its text. What must not enter: defaults for
what could not be read.
"""

import zlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from longshore_common import events as e
from longshore_common.damage import DAMAGED
from longshore_common.errors import BadInput, Unreadable
from longshore_common.subjects import Author, author

_UNION: Any = None  # a Union of every event, built from AUTHOR so that no event can be forgotten
for _kind in e.AUTHOR:
    _UNION = _kind if _UNION is None else _UNION | _kind

_decode: Final = msgspec.json.Decoder(_UNION).decode
_encode: Final = msgspec.json.Encoder().encode

#: Bodies larger than this are compressed; below it the operator reads plain JSON in the log.
COMPRESS_ABOVE: Final = 32 * 1024
#: No decompressed body may be larger: a bomb is unreadable, not fatal.
MAX_BODY: Final = 256 * 1024 * 1024
#: Largest body a client sends as one message, compressed; below the server's max_payload of 8 MiB.
MAX_MESSAGE: Final = 4 * 1024 * 1024
TYPE_PREFIX: Final = "org.longshore."


def encode(event: e.Event) -> tuple[bytes, dict[str, str]]:
    """(body, headers); headers hold `Content-Encoding: deflate` if the body was compressed.

    `BadInput` for text that is not Unicode (arguments of undecodable bytes) and integers beyond 64 bits.
    """
    try:
        body = _encode(event)
    except (UnicodeEncodeError, OverflowError) as err:
        raise BadInput(f"{type(event).__struct_config__.tag} cannot be stored, its text must be UTF-8: {err}") from err
    if len(body) <= COMPRESS_ABOVE:
        return body, {}
    return zlib.compress(body, 1), {"Content-Encoding": "deflate"}


def attributes(event: e.Event, event_id: str, source: str, time: str, traceparent: str = "") -> dict[str, str]:
    """The CloudEvents attributes as headers, and the same id for the server's deduplication."""
    headers = {
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-source": source,
        "ce-type": TYPE_PREFIX + str(type(event).__struct_config__.tag),
        "ce-time": time,
        "Nats-Msg-Id": event_id,
    }
    if traceparent:
        headers["traceparent"] = traceparent
    return headers


def decode(subject: str, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[Author, e.Event]:
    """(author, event) of a message of the log; `Unreadable` if its bytes are no event, or not this author's to write."""
    who = author(subject)
    try:
        if headers and headers.get("Content-Encoding") == "deflate":
            inflate = zlib.decompressobj()
            body = inflate.decompress(body, MAX_BODY)
            if inflate.unconsumed_tail:
                raise Unreadable(f"a body on {subject} is larger than {MAX_BODY} bytes when decompressed")
        event: e.Event = _decode(body)
    except (*DAMAGED, zlib.error) as err:
        raise Unreadable(f"{err}; the bytes on {subject} begin with {body[:200]!r}") from err
    if e.AUTHOR[type(event)] != who.role:
        raise Unreadable(
            f"{type(event).__struct_config__.tag} was written by a {who.role} on {subject}, not its author"
        )
    return who, event
