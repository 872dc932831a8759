"""The one place where the client draws by chance: idempotency keys, given at the edge and never inside."""

import os
from typing import Final

#: Characters of a key: 128 bits in hex, so that a key can also be the trace id of what it started.
_BYTES: Final = 16


def new_key() -> str:
    """A fresh idempotency key, 32 hexadecimal digits; whoever repeats a write uses the same one again."""
    return os.urandom(_BYTES).hex()  # as secrets.token_hex, without importing OpenSSL for it


def traceparent(key: str) -> str:
    """W3C `traceparent` (version 00, sampled) whose trace id is the key; "" for a key that is no 128 bits in hex."""
    if len(key) != 2 * _BYTES or not all(c in "0123456789abcdef" for c in key):
        return ""
    return f"00-{key}-{key[:_BYTES]}-01"
