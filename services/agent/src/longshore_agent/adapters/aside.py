"""The last answer of something that may not answer: a dead file server, a driver that hangs.

What must not enter: what is asked, and anything that has to be the newest answer.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Aside(Generic[T]):
    """Asks in a thread that nobody waits for, not even the end of the process; `known` is the last answer."""

    def __init__(self, ask: Callable[[], T], first: T, name: str) -> None:
        self._ask, self.known, self._name = ask, first, name
        self._asking: threading.Thread | None = None

    def refresh(self) -> None:
        """Ask again, unless the last question is still open."""
        if self._asking is None or not self._asking.is_alive():
            self._asking = threading.Thread(target=self._run, daemon=True, name=self._name)
            self._asking.start()

    def _run(self) -> None:
        self.known = self._ask()
