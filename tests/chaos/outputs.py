"""Tasks that leave evidence: a published output each, and one line per time they really ran.

A task writes `<index> <attempt>` to its output directory and appends its attempt to a file outside Longshore's hands.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from .stack import Stack

SCRIPT = """
echo "$LONGSHORE_ATTEMPT" >> "$0/$LONGSHORE_INDEX"
sleep {pause}
echo "$LONGSHORE_INDEX $LONGSHORE_ATTEMPT" > "$OUTPUT/$LONGSHORE_INDEX.txt"
"""


class Evidence:
    """An array of `size` tasks that was submitted to `stack`, with the directories it writes to."""

    def __init__(self, stack: Stack, size: int, pause: float, *options: str) -> None:
        self.stack, self.size = stack, size
        self.out, self.ran = stack.state / "out", stack.state / "ran"
        self.out.mkdir()
        self.ran.mkdir()
        script = SCRIPT.format(pause=pause)
        self.submission = stack.submit(
            "--array",
            f"0-{size - 1}",
            "-b",
            "evidence",
            "-o",
            f"file://{self.out}/",
            *options,
            "--",
            "sh",
            "-c",
            script,
            str(self.ran),
        )

    def attempts_run(self, index: int) -> list[str]:
        """The attempts of a task that really started, in order."""
        file = self.ran / str(index)
        return file.read_text().split() if file.exists() else []

    def run_more_than_once(self) -> dict[int, list[str]]:
        """Tasks whose process was started again."""
        return {k: ran for k in range(self.size) if len(ran := self.attempts_run(k)) != 1}

    def faults(self) -> Iterator[str]:
        """What is wrong with the published outputs; nothing if each is there exactly once, whole and told in a manifest."""
        visible = {p.name for p in self.out.iterdir() if p.is_file()}
        expected = {f"{k}.txt" for k in range(self.size)}
        if visible != expected:
            yield f"missing {sorted(expected - visible)[:5]}, unexpected {sorted(visible - expected)[:5]}"
        projected = self.stack.tasks(self.submission)
        for k in range(self.size):
            yield from self._faults_of(k, projected.get(f"{self.submission}.{k}", {}))
        won = {f"{name}.{task['attempt']}" for name, task in projected.items()}
        private = {
            p for p in (self.out / ".longshore").iterdir() if p.is_dir() and any(q.is_file() for q in p.rglob("*"))
        }
        if left := sorted(p.name for p in private if p.name in won):
            yield f"published, but their private prefixes still hold bytes: {left[:5]} ({len(left)})"

    def _faults_of(self, k: int, task: dict[str, Any]) -> Iterator[str]:
        file = self.out / f"{k}.txt"
        manifest = self.out / ".longshore" / f"{self.submission}.{k}.json"
        if not file.exists() or not manifest.exists():
            yield f"task {k}: output {file.exists()}, manifest {manifest.exists()}, state {task.get('state')}"
            return
        content = file.read_bytes()
        words = content.decode().split()
        if len(words) != 2 or words[0] != str(k) or words[1] not in self.attempts_run(k):
            yield f"task {k}: wrote {content!r}, attempts {self.attempts_run(k)}"
        told = json.loads(manifest.read_text())
        text = json.dumps(told)
        if hashlib.sha256(content).hexdigest() not in text or f"{k}.txt" not in text:
            yield f"task {k}: the manifest {text[:300]} does not describe {content!r}"
