"""Structured JSON logs: one object per line on stdout with time, level, service, event, and the ids at hand.

Call `configure` once per process. Ids go in by keyword: task, attempt, worker, submission, trace, seq. Modules that a
user's command imports too take `get_logger` from here: it imports structlog (0.2 s with its consoles) only in a process
that was configured, and says nothing on the stdout of one that was not.
"""

import sys
from typing import Any

_configured = False


class Logger:
    """Structlog's logger once the process is configured, silence before."""

    def debug(self, event: str, **ids: Any) -> None:
        """For whoever looks for a fault."""
        self._say("debug", event, ids)

    def info(self, event: str, **ids: Any) -> None:
        """What an operator wants to read."""
        self._say("info", event, ids)

    def warning(self, event: str, **ids: Any) -> None:
        """What an operator should look at when it repeats."""
        self._say("warning", event, ids)

    def error(self, event: str, **ids: Any) -> None:
        """What an operator must look at."""
        self._say("error", event, ids)

    def _say(self, level: str, event: str, ids: dict[str, Any]) -> None:
        if _configured:
            import structlog

            getattr(structlog.get_logger(), level)(event, **ids)


def get_logger() -> Logger:
    """A logger that costs nothing until it speaks."""
    return Logger()


def configure(service: str, *, level: int = 20) -> None:
    """Make loggers write JSON lines of this service to stdout; `level` as in `logging` (20 = info)."""
    global _configured
    import structlog

    def add_service(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["service"] = service
        return event

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            add_service,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    _configured = True
