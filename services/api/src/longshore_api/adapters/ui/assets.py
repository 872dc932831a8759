"""Style, script and pictures, read once, under a path that has their digest: a browser asks for each only once.

What must not enter: pages.
"""

import gzip
from hashlib import blake2b
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).with_name("static")
_KINDS: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
_FILES: Final[dict[str, bytes]] = {f.name: f.read_bytes() for f in sorted(_FOLDER.iterdir()) if f.suffix in _KINDS}
_PACKED: Final = {name: gzip.compress(body, 9, mtime=0) for name, body in _FILES.items()}

#: Of all of them together, so that modules find each other beside themselves.
DIGEST: Final = blake2b(b"".join(name.encode() + body for name, body in _FILES.items()), digest_size=8).hexdigest()
BASE: Final = f"/static/{DIGEST}"


def path(name: str) -> str:
    """Where this file is found."""
    return f"{BASE}/{name}"


def found(name: str, *, packed: bool) -> tuple[bytes, str] | None:
    """(body, kind) of a file, gzipped if `packed`; None if there is none of this name."""
    if name not in _FILES:
        return None
    return (_PACKED if packed else _FILES)[name], _KINDS[Path(name).suffix]
