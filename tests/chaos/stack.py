"""An embedded stack for one test: the commands a user types, the processes underneath, and how to hurt them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

BIN = Path(sys.executable).parent


class Said(NamedTuple):
    """What a command did: exit code, stdout, stderr (bytes decoded, invalid ones replaced)."""

    code: int
    out: str
    err: str


def eventually(condition: Callable[[], Any], what: str, deadline: float = 40, every: float = 0.1) -> Any:
    """The first true value of `condition`; fails naming `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        if value := condition():
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not in {deadline} s: {what() if callable(what) else what}")
        time.sleep(every)


class Stack:
    """`longshore up --detach` in a directory of its own; `close` stops it and removes everything."""

    def __init__(self, *, concurrency: int = 2, workers: int = 1, **environ: str) -> None:
        self.state = Path(tempfile.mkdtemp(prefix="longshore-chaos-"))
        self.state.chmod(0o755)  # PostgreSQL runs as another user when we are root
        self.environ = {**os.environ, "LONGSHORE_STATE_DIR": str(self.state), "NO_COLOR": "1", **environ}
        self.size = ["--workers", str(workers), "--concurrency", str(concurrency)]

    def up(self) -> "Stack":
        said = self.say("up", "--detach", *self.size, deadline=60)
        assert said.code == 0, f"longshore up: {said}\n{self.log_ends()}"
        return self

    def close(self) -> None:
        said = self.say("down", deadline=60)
        if keep := os.environ.get("CHAOS_KEEP"):
            for part in ("logs", "nats"):
                shutil.copytree(self.state / part, Path(keep) / self.state.name / part, dirs_exist_ok=True)
        assert said.code == 0, f"longshore down: {said}"  # what still runs needs its directory to be stopped by
        shutil.rmtree(self.state, ignore_errors=True)

    # --- commands ---------------------------------------------------------------------------------------------------

    def say(self, *arguments: str | bytes, deadline: float = 60) -> Said:
        """One command, whatever it answers."""
        done = subprocess.run(
            [BIN / "longshore", *arguments], env=self.environ, capture_output=True, timeout=deadline, check=False
        )
        return Said(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def cli(self, *arguments: str | bytes, deadline: float = 60) -> str:
        """One command that must succeed; its stdout."""
        said = self.say(*arguments, deadline=deadline)
        assert said.code == 0, f"longshore {arguments!r:.300}: {said}\n{self.log_ends()}"
        return said.out

    def submit(self, *arguments: str) -> int:
        """`longshore submit …`; the submission's number."""
        return int(self.cli("submit", *arguments).split()[0].split(".")[0])

    def task(self, task: str) -> dict[str, Any]:
        """`task show --json`."""
        shown: dict[str, Any] = json.loads(self.cli("task", "show", task, "--json"))
        return shown

    def good(self) -> None:
        """A plain task still runs to its end: nothing is stuck."""
        said = self.say("submit", "--wait", "--", "true", deadline=50)
        assert said.code == 0, f"a good task did not run: {said}\n{self.log_ends()}"

    # --- the read model ---------------------------------------------------------------------------------------------

    def get(self, path: str, **query: Any) -> Any:
        """The answer of the API; None while it cannot be reached or is not ready to answer."""
        profile = json.loads((self.state / "client.json").read_text())
        base = str(profile["api_url"]).rstrip("/")
        base = base if base.endswith("/api/v1") else base + "/api/v1"
        token = Path(profile["api_token_file"]).read_text().strip()
        request = urllib.request.Request(
            f"{base}{path}?{urlencode(query)}", headers={"Authorization": f"Bearer {token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                return json.loads(answer.read())
        except OSError:
            return None

    def states(self, submission: int) -> dict[str, int]:
        """How many tasks of a submission are in which state, as projected; {} while nobody answers."""
        answer = self.get(f"/submissions/{submission}")
        return answer["states"] if answer else {}

    def succeeded(self, submission: int) -> int:
        return self.states(submission).get("succeeded", 0)

    def finish(self, submission: int, size: int, deadline: float = 45) -> None:
        """Wait until all tasks of a submission have succeeded."""
        eventually(
            lambda: self.succeeded(submission) == size,
            lambda: f"{size} successes, but {self.states(submission)}\n{self.log_ends()}",
            deadline,
        )

    def tasks(self, submission: int) -> dict[str, dict[str, Any]]:
        """All tasks of a submission by id, page by page."""
        found: dict[str, dict[str, Any]] = {}
        query: dict[str, Any] = {"submission": submission, "limit": 1000}
        while True:
            page = self.get("/tasks", **query)
            assert page is not None, "the API does not answer"
            found.update({task["id"]: task for task in page["items"]})
            if not page["next"]:
                return found
            query["cursor"] = page["next"]

    # --- processes --------------------------------------------------------------------------------------------------

    def pids(self) -> dict[str, int]:
        """Process ids of the supervised parts."""
        processes = json.loads(self.cli("status", "--json"))["processes"]
        return {part["name"]: part["pid"] for part in processes if part["pid"]}

    def part(self, name: str) -> tuple[str, int]:
        """Full name and pid of the part whose name begins with `name`; `agent` is the first local worker's."""
        begin = "local-1" if name == "agent" else name
        return next((known, pid) for known, pid in self.pids().items() if known.startswith(begin))

    def kill(self, name: str) -> tuple[str, int]:
        """kill -9; the full name and the pid it had."""
        known, pid = self.part(name)
        os.kill(pid, signal.SIGKILL)
        return known, pid

    @contextmanager
    def frozen(self, name: str) -> Iterator[int]:
        """The part does nothing (SIGSTOP) inside, and goes on afterwards; its pid."""
        pid = self.part(name)[1]
        os.kill(pid, signal.SIGSTOP)
        try:
            yield pid
        finally:
            os.kill(pid, signal.SIGCONT)

    def restarted(self, name: str, old: int, deadline: float = 20) -> int:
        """The new pid of a killed part once the supervisor has started it again."""
        return int(
            eventually(
                lambda: (pid := self.pids().get(name)) != old and pid, f"{name} started again after its death", deadline
            )
        )

    def environ_of(self, name: str) -> dict[str, str]:
        """The environment a part was started with."""
        raw = Path(f"/proc/{self.part(name)[1]}/environ").read_bytes().decode(errors="surrogateescape")
        return dict(entry.split("=", 1) for entry in raw.split("\0") if "=" in entry)

    def creds(self, part: str) -> Path:
        """The NATS credentials file that a part uses."""
        return Path(self.environ_of(part)["NATS_CREDS"])

    def log_ends(self) -> str:
        """The last lines of each part's log, for a failing test's reader."""
        return "\n".join(
            f"--- {file.name}\n" + "\n".join(file.read_text(errors="replace").splitlines()[-5:])[-2500:]
            for file in sorted((self.state / "logs").glob("*"))
            if file.is_file()
        )
