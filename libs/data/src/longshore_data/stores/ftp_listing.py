"""What FTP servers say about files: lines of MLSD (RFC 3659) and of LIST, which no standard describes.

What must not enter: connections.
"""

import re
from datetime import UTC, datetime
from typing import NamedTuple

from longshore_data.store import Found

_UNIX = re.compile(
    r"(?P<kind>[-dlbcps])[rwxsStTlL-]{9}[.+@]?\s+\d+\s+\S+\s+(?:\S+\s+)?(?P<size>\d+)\s+"
    r"(?:[A-Za-z]{3}\s+\d{1,2}|\d{1,2}\s+[A-Za-z]{3}|\d{4}-\d\d-\d\d)\s+(?:\d{4}|\d{1,2}:\d\d)\s(?P<name>.+)"
)
_WINDOWS = re.compile(
    r"\d\d-\d\d-\d\d(?:\d\d)?\s+\d\d:\d\d(?:[AP]M)?\s+(?:(?P<folder><DIR>)|(?P<size>\d+))\s+(?P<name>.+)"
)


class Line(NamedTuple):
    """One name in a folder. `kind`: file, dir, link (to what, only asking tells), or other. `size` -1: not said."""

    name: str
    kind: str
    size: int = -1
    stamp: str = ""


def mlsd(line: str) -> Line | None:
    """A line of MLSD, or the last of MLST without its leading space; None for the folder itself and its parent."""
    said, _, name = line.partition(" ")
    facts = {key.lower(): value for key, _, value in (fact.partition("=") for fact in said.split(";") if fact)}
    kind = facts.get("type", "").lower()
    if kind in ("cdir", "pdir") or not name or name in (".", ".."):
        return None
    if kind not in ("file", "dir"):
        kind = "link" if "link" in kind else "other"
    size = facts.get("size", "")
    return Line(name, kind, int(size) if size.isdigit() else -1, facts.get("modify", "")[:14])


def listed(line: str) -> Line | None:
    """A line of LIST, in the manner of Unix or of Windows; None for what is no file's."""
    if found := _UNIX.fullmatch(line):
        kind = {"-": "file", "d": "dir", "l": "link"}.get(found["kind"], "other")
        name = found["name"].partition(" -> ")[0] if kind == "link" else found["name"]
        return Line(name, kind, int(found["size"])) if name not in (".", "..") else None
    if found := _WINDOWS.fullmatch(line):
        return Line(found["name"], "dir" if found["folder"] else "file", int(found["size"] or -1))
    return None


def found(path: str, size: int, stamp: str) -> Found:
    """What is known of a file; `stamp` is a time as FTP writes it, YYYYMMDDHHMMSS, or empty."""
    return Found(path, size, f"{size}-{stamp}" if stamp and size >= 0 else "", _seconds(stamp))


def _seconds(stamp: str) -> float:
    try:
        return datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0
