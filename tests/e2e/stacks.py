"""Whole stacks of a test module's own, and the command line on them.

What must not enter: tests.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from longshore_common.testing.waiting import wait_until

LONGSHORE = Path(sys.executable).with_name("longshore")


@contextmanager
def place_for(name: str) -> Iterator[Path]:
    """A folder for a stack, which PostgreSQL's own user can pass through; in the end it goes."""
    root = Path(tempfile.mkdtemp(prefix=f"longshore-{name}-"))
    root.chmod(0o755)
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


class Said(NamedTuple):
    code: int
    out: str
    err: str

    def check(self) -> "Said":
        """Itself, if the command succeeded."""
        assert self.code == 0, self
        return self


class Stack:
    def __init__(self, root: Path, way: str = "nats") -> None:
        self.root = root
        self.environ = os.environ | {"LONGSHORE_STATE_DIR": str(root), "HOME": str(root)}
        self.environ["LONGSHORE_HTTP"] = "1" if way == "http" else ""

    def say(self, *words: str | bytes, stdin: str = "", within: float = 60) -> Said:
        done = subprocess.run(
            [LONGSHORE, *words], env=self.environ, capture_output=True, text=True, timeout=within, input=stdin
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str, stdin: str = "") -> str:
        return self.say(*words, stdin=stdin).check().out

    def id(self, *words: str, stdin: str = "") -> str:
        return self.ok("submit", *words, stdin=stdin).splitlines()[0]

    def lines(self, *words: str) -> list[dict]:
        return [json.loads(line) for line in self.ok(*words, "--json").splitlines()]

    def until(self, condition: Callable[[], object], *, within: float = 30) -> None:
        wait_until(condition, within)

    def up(self, *, concurrency: str = "2") -> None:
        """Started, with one worker."""
        self.say("up", "--detach", "--workers", "1", "--concurrency", concurrency, within=120).check()


S = TypeVar("S", bound=Stack)


@contextmanager
def running(made: S, *, concurrency: str = "2") -> Iterator[S]:
    """It up, and in the end down."""
    try:
        made.up(concurrency=concurrency)
        yield made
    finally:
        made.say("down", within=120)
