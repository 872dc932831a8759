"""Structured JSON logs: one object per line on stdout with time, level, service, event, and the ids at hand.

Call `configure` once per process. Ids go in by keyword: task, attempt, worker, submission, trace, seq.
"""

import sys
from typing import Any

import structlog


def configure(service: str, *, level: int = 20) -> None:
    """Make `structlog.get_logger()` write JSON lines of this service to stdout; `level` as in `logging` (20 = info)."""

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
