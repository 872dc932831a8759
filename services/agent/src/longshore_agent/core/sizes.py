"""Sizes as operators write them: `500M`, `1.5G`, `2GiB`, `10%`.

What must not enter: asking the host how large its disk is.
"""

import re
from typing import Final

from longshore_common.errors import BadInput

_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_TEXT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(?:I?B)?", re.IGNORECASE)


def size(text: str, name: str) -> int:
    """Bytes; K, M, G, T are powers of 1024, empty is 0. `BadInput` calls the setting `name`."""
    if not text.strip():
        return 0
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise BadInput(f"{name}={text!r} is no size: write bytes, or a number with K, M, G or T, such as 500M")
    return int(float(match.group(1)) * _UNITS[match.group(2).upper()])


def share(text: str, whole: int, name: str) -> int:
    """Bytes, of which `10%` are a tenth of `whole`."""
    number = text.strip().removesuffix("%")
    if number == text.strip():
        return size(text, name)
    try:
        percent = float(number)
    except ValueError:
        percent = -1
    if not 0 <= percent <= 100:
        raise BadInput(f"{name}={text!r} is no share: write a percentage from 0 to 100, or a size such as 20G")
    return int(whole * percent / 100)
