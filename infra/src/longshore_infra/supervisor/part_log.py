"""One part's output as JSON lines in a file of bounded size: what is JSON passes through, all else is wrapped.

What must not enter: reading these files, deciding by what they say.
"""

import os
import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from longshore_infra.supervisor.plan import LineFormat

#: A file is moved to <name>.1 when it is this large (bytes), so a part keeps at most twice this.
ROTATE_AT = 16 << 20
#: A longer line (bytes) is cut into several.
LONGEST_LINE = 64 << 10

_PATTERNS: dict[LineFormat, re.Pattern[str]] = {
    "nats": re.compile(r"\[\d+\] \[(?P<level>[A-Z]{3})\] (?P<text>.*)"),
    "postgres": re.compile(r"(?P<level>[A-Z]+[0-9]?):  (?P<text>.*)"),
}
_LEVELS = {
    "ERR": "error", "FTL": "critical", "WRN": "warning", "DBG": "debug", "TRC": "debug",
    "ERROR": "error", "FATAL": "critical", "PANIC": "critical", "WARNING": "warning",
}  # fmt: skip


def line(service: str, level: str, event: str, at: float, **ids: object) -> bytes:
    """One log line as our services write them; `at` in Unix seconds."""
    time = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return msgspec.json.encode({"time": time, "level": level, "service": service, "event": event, **ids}) + b"\n"


class PartLog:
    """The log file of one part; not for several threads."""

    def __init__(self, file: Path, service: str, lines: LineFormat = "json") -> None:
        self._file, self._service, self._pattern = file, service, _PATTERNS.get(lines)
        self._rest = b""
        self._open()

    def feed(self, data: bytes, at: float) -> None:
        """Bytes as they came from the part; a line is written once its end is there."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            whole.append(self._rest)
            self._rest = b""
        self.write(b"".join(self._as_json(each, at) for each in whole if each.strip()))

    def flush(self, at: float) -> None:
        """Write what has come without a line end."""
        if self._rest:
            self.feed(b"\n", at)

    def write(self, lines: bytes) -> None:
        """Append finished lines."""
        if not lines:
            return
        if self._size > ROTATE_AT:
            os.close(self._handle)
            self._file.replace(self._file.with_name(self._file.name + ".1"))
            self._open()
        self._size += os.write(self._handle, lines)

    def _open(self) -> None:
        self._handle = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._handle).st_size

    def _as_json(self, raw: bytes, at: float) -> bytes:
        if raw.startswith(b"{") and raw.endswith(b"}"):
            return raw + b"\n"
        text = raw.decode(errors="replace").rstrip()
        if self._pattern is None:  # a traceback or a warning of the interpreter
            return line(self._service, "warning", text, at)
        if found := self._pattern.fullmatch(text):
            return line(self._service, _LEVELS.get(found["level"], "info"), found["text"], at)
        return line(self._service, "info", text.strip(), at)
