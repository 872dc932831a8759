"""From the bytes of a request to what they say; what is wrong is named by its field, with what to write instead.

What must not enter: what is done with it.
"""

import re
import zlib
from typing import Any, Final, TypeVar

import msgspec

from longshore_api.adapters.views import Fault
from longshore_common.damage import DAMAGED
from longshore_common.errors import BadInput

T = TypeVar("T")

#: Bytes that a deflated body may have when it is inflated.
LARGEST: Final = 256 << 20
_AT: Final = re.compile(r"(.*?)(?: - at `\$?\.?(.*)`)?", re.DOTALL)


class Wrong(BadInput):
    """Fields of the body are wrong; `faults` says which, and what to write."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(
            "; ".join(f"{fault.field}: {fault.remedy}" if fault.field else fault.remedy for fault in faults[:5])
        )
        self.faults = faults


def wrong(field: str, remedy: str) -> Wrong:
    """One fault, to be raised."""
    return Wrong([Fault(field, remedy)])


def taken(body: bytes, kind: type[T], encoding: str = "") -> T:
    """The body as this kind; an empty one is `{}`. `Wrong` names the field."""
    text = _inflated(body) if encoding == "deflate" else body
    try:
        return msgspec.json.decode(text or b"{}", type=kind)
    except DAMAGED as err:
        raise Wrong([fault_of(err)]) from err


def fault_of(err: BaseException, within: str = "") -> Fault:
    """The field and the remedy of a decoder's complaint; `within`: the place that was decoded."""
    found = _AT.fullmatch(str(err))
    text, place = (found[1], found[2] or "") if found else (str(err), "")
    if isinstance(err, RecursionError):
        text = "nested too deeply"
    field = ".".join(word for word in (within, place) if word).replace(".[", "[")
    return Fault(field, text.replace("`", ""))


def _inflated(body: bytes) -> bytes:
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(body, LARGEST)
    except zlib.error as err:
        raise BadInput(f"Content-Encoding: deflate, but the body is not ({err}): leave the header out") from err
    if inflate.unconsumed_tail:
        raise BadInput(f"the body has more than {LARGEST} bytes when it is inflated: send less at once")
    return text


def known(value: dict[str, Any], kind: type[T], field: str) -> T:
    """A value that was put together, as this kind; `Wrong` names the field below `field`."""
    try:
        return msgspec.convert(value, kind)
    except DAMAGED as err:
        raise Wrong([fault_of(err, field)]) from err
