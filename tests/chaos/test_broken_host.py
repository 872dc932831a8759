"""A host that breaks while its agent works: others do its work, its doctor says what is wrong, and it comes back by itself."""

import json

from .stack import Stack, eventually
from .wire import send_as_user

SIZE = 12


def quick(stack: Stack) -> None:
    """Three failures are enough, and a quarantine is short."""
    policy = {"breaker_failures": 3, "breaker_pause": 4, "breaker_window": 60, "first_wait": 0.2}
    body = json.dumps({"type": "policy-requested", "policy": policy}).encode()
    send_as_user(stack, ("log.user.{user}.wish", body, {}))


def submitted(stack: Stack, number: int) -> list[int]:
    return [stack.submit("--array", f"0-{SIZE - 1}", "--", "sleep", "0.1") for _ in range(number)]


def worker(stack: Stack) -> dict[str, object]:
    return stack.get("/workers/local-2") or {}


def visits(stack: Stack) -> list[str]:
    return [care["text"] for care in worker(stack).get("cares", []) if care["care"] == "doctor"]


def test_a_host_that_lost_its_work_directory_is_quarantined_and_trusted_again_once_it_is_mended(start):
    stack: Stack = start(workers=2, concurrency=2)
    quick(stack)
    stack.finish(submitted(stack, 1)[0], SIZE)
    attempts = stack.state / "workers" / "local-2" / "attempts"
    attempts.rename(attempts.with_name("gone"))
    attempts.write_text("no directory any more")

    for submission in submitted(stack, 4):
        stack.finish(submission, SIZE)
    eventually(lambda: worker(stack).get("state") == "quarantined", lambda: f"{worker(stack)}\n{stack.log_ends()}")
    assert "different tasks failed fast there" in str(worker(stack)["reason"])
    (text, *_) = eventually(lambda: visits(stack), lambda: f"the doctor's visit: {worker(stack)}")
    assert "work-directory: " in text
    assert "fix: " in text
    assert "quarantine" in stack.cli("explain", "local-2")
    asked = stack.cli("worker", "doctor", "local-2")
    assert asked.startswith("local-2\t")
    assert "\nlocal-2\twork-directory: " in asked

    attempts.unlink()
    attempts.with_name("gone").rename(attempts)
    later = submitted(stack, 1)[0]

    def trusted() -> bool:
        if stack.succeeded(later) == SIZE:
            submitted(stack, 1)  # something to try it out with
        return worker(stack).get("state") == "up"

    eventually(trusted, lambda: f"{worker(stack)}\n{stack.log_ends()}", every=0.5)
    assert "in quarantine until" in stack.cli("history", "--worker", "local-2")
    stack.good()
