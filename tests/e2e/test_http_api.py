"""The HTTP API of a real stack: work from submission to end, and what is left of it without PostgreSQL."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from longshore_common.testing.waiting import wait_until

from .stacks import place_for

pytestmark = pytest.mark.slow

LONGSHORE = Path(sys.executable).with_name("longshore")


class Stack:
    """An embedded stack, and a client of its api."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environ = os.environ | {"LONGSHORE_STATE_DIR": str(root), "HOME": str(root)}

    def say(self, *words: str) -> str:
        done = subprocess.run([LONGSHORE, *words], env=self.environ, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done
        return done.stdout

    def begin(self) -> None:
        self.say("up", "--detach", "--workers", "1", "--concurrency", "2")
        profile = json.loads((self.root / "client.json").read_text())
        token = Path(profile["api_token_file"]).read_text().strip()
        self.http = httpx.Client(
            base_url=f"{profile['api_url']}/api/v1/", headers={"Authorization": f"Bearer {token}"}, timeout=30
        )

    def ok(self, method: str, path: str, **more: Any) -> Any:
        answer = self.http.request(method, path, **more)
        assert answer.status_code in (200, 202), answer.text
        return answer.json()

    def until(self, condition: Any, within: float = 30) -> Any:
        return wait_until(condition, within)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with place_for("http") as root:
        made = Stack(root)
        try:
            made.begin()
            yield made
        finally:
            made.http.close()
            subprocess.run([LONGSHORE, "down"], env=made.environ, capture_output=True, timeout=120)


def events(stack: Stack, path: str, until: str, **headers: str) -> list[dict[str, str]]:
    """The events of a stream up to the first of this kind."""
    found: list[dict[str, str]] = []
    with stack.http.stream("GET", path, headers=headers, timeout=30) as answer:
        assert answer.status_code == 200
        block: dict[str, str] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line:
                block[name] = value
                continue
            if "data" in block:
                found.append(block)
                if block.get("event") == until:
                    break
            block = {}
    return found


def test_work_goes_from_submission_to_its_end_by_http_alone(stack: Stack) -> None:
    body = {"batch": "web", "task": {"command": ["sh", "-c", "echo begin; sleep 0.5; echo end"]}, "size": 2}
    sent = stack.ok("POST", "submissions", json=body, params={"wait": 5}, headers={"Idempotency-Key": "web-1"})
    assert sent["status"] == "accepted"
    told = events(stack, f"tasks/{sent['id']}.1/output/stream", "end")
    assert "".join(json.loads(event["data"]).get("text", "") for event in told) == "begin\nend\n"
    seen = events(stack, f"events?since={sent['seq'] - 1}&batch=web", "attempts-reported")
    assert [event["event"] for event in seen][:2] == ["tasks-submitted", "submission-accepted"]
    stack.until(lambda: stack.ok("GET", f"submissions/{sent['id']}")["states"] == {"succeeded": 2})
    tasks = stack.ok("GET", "tasks", params={"batch": "web", "fields": "id,state,exit_code"})["items"]
    assert tasks == [{"id": f"{sent['id']}.{k}", "state": "succeeded", "exit_code": 0} for k in (0, 1)]


def test_tasks_are_held_edited_released_and_cancelled(stack: Stack) -> None:
    body = {"batch": "steered", "hold": True, "task": {"command": ["sleep", "60"]}, "size": 3}
    sent = stack.ok("POST", "submissions", json=body, params={"wait": 5})
    first, whole = f"{sent['id']}.0", [str(sent["id"])]
    seen = stack.ok(
        "POST", "tasks/edit", json={"tasks": [first], "set": {"command": ["true"]}}, params={"preview": True}
    )
    assert seen["outcomes"][0]["count"] == 1
    edited = stack.ok("POST", "tasks/edit", json={"tasks": [first], "set": {"command": ["true"]}}, params={"wait": 5})
    assert edited["answer"]["answer"] == "done"
    stack.ok("POST", "tasks/retry", json={"tasks": whole}, params={"wait": 5})
    stack.until(lambda: stack.ok("GET", f"tasks/{first}")["state"] == "succeeded")
    again = stack.ok("POST", "tasks/cancel", json={"filter": {"batch": "steered"}, "kill": True}, params={"wait": 5})
    assert again["tasks"] == 3
    stack.until(lambda: stack.ok("GET", f"submissions/{sent['id']}")["states"] == {"succeeded": 1, "cancelled": 2})
    refused = stack.ok("POST", "tasks/cancel", json={"tasks": whole}, params={"wait": 5})
    assert refused["answer"]["answer"] == "refused"


def test_what_the_dispatcher_finds_wrong_is_told_by_item(stack: Stack) -> None:
    tasks = [{"command": ["true"]}, {"command": [""]}]
    sent = stack.ok("POST", "submissions", json={"tasks": tasks}, params={"wait": 5})
    assert sent["status"] == "rejected"
    assert [item["errors"][0]["field"] for item in sent["items"]] == ["tasks[1]"]


def frozen(stack: Stack) -> list[psutil.Process]:
    """The processes of PostgreSQL."""
    status = json.loads(stack.say("status", "--json"))
    pid = next(part["pid"] for part in status["processes"] if part["name"] == "postgres")
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def test_without_postgresql_reads_say_when_to_come_again_and_submits_work(stack: Stack) -> None:
    stopped = frozen(stack)
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        body = {"batch": "blind", "task": {"command": ["true"]}, "size": 3}
        sent = stack.ok("POST", "submissions", json=body, headers={"Idempotency-Key": "blind"})
        assert time.monotonic() - began < 5
        assert stack.ok("POST", "submissions", json=body, headers={"Idempotency-Key": "blind"}) == sent
        answer = stack.http.get("batches")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    finally:
        for process in reversed(stopped):
            process.send_signal(signal.SIGCONT)

    def ended() -> bool:
        answer = stack.http.get(f"submissions/{sent['id']}", params={"after": sent["seq"]})
        return answer.status_code == 200 and answer.json()["states"] == {"succeeded": 3}

    stack.until(ended, within=60)
