"""What a permitted author should never write: each is skipped or refused with a reason, and nobody falls over."""

import json
import zlib

import pytest

from .books import ledger_of
from .stack import Stack, eventually
from .wire import send_as_user

SPEC = {"command": ["true"]}
DEFLATE = {"Content-Encoding": "deflate"}


def submission(**changes: object) -> bytes:
    body = {"type": "tasks-submitted", "key": "k", "batch": "b", "body": {"type": "array", "spec": SPEC, "size": 1}}
    return json.dumps(body | changes).encode()


def array(**changes: object) -> dict[str, object]:
    return {"type": "array", "spec": SPEC, "size": 1} | changes


#: Bytes that are no event, by a user on the user's own subject.
NO_EVENT = {
    "nothing": (b"", {}),
    "no JSON": (b"\x00\xff\xfe garbage", {}),
    "invalid UTF-8 in a string": (submission(batch="@").replace(b"@", b"\xff\xfe"), {}),
    "an unknown type": (b'{"type":"tasks-teleported","key":"x"}', {}),
    "an unknown field": (submission(colour="blue"), {}),
    "an unknown field of the spec": (submission(body=array(spec=SPEC | {"colour": "blue"})), {}),
    "another author's event": (b'{"type":"leader-elected","dispatcher":"me"}', {}),
    "a verdict of the dispatcher": (b'{"type":"tasks-cancelled","tasks":[[1,0,0]]}', {}),
    "deep nesting": (b"[" * 100_000, {}),
    "no deflate": (b"not compressed", DEFLATE),
    "a cut deflate": (zlib.compress(submission())[:-9], DEFLATE),
    "a bomb": (zlib.compress(b" " * 300_000_000, 9), DEFLATE),
}
#: Well-formed wishes that no client sends; each must be answered, none may be believed.
BAD_WISH = {
    "no tasks": array(size=0),
    "fewer than no tasks": array(size=-5),
    "more tasks than can be": array(size=10**15),
    "fewer entries than tasks": array(size=5, entries=["a"]),
    "no step": array(size=5, step=0),
    "no command": array(spec={"command": []}),
    "no specs": {"type": "specs", "specs": []},
    "parts that never came": {"type": "parts", "parts": 7, "size": 7000},
    "a size its parts do not have": {"type": "parts", "parts": 0, "size": 10},
}


@pytest.fixture(scope="module")
def stack():
    running = Stack().up()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def nobody_fell_over(stack):
    before = stack.pids()
    yield
    stack.good()
    assert stack.pids() == before


@pytest.mark.parametrize("name", NO_EVENT)
def test_bytes_that_are_no_event_are_stepped_over_by_every_reader(stack, name):
    body, headers = NO_EVENT[name]
    seq = send_as_user(stack, ("log.user.{user}.wish", body, headers))
    answer = eventually(lambda: stack.get("/tasks", after=seq, limit=1), "the projection passed it")
    assert answer["position"] >= seq
    assert stack.get(f"/submissions/{seq}") is None


def test_a_subject_nobody_knows_is_stepped_over(stack):
    seq = send_as_user(stack, ("log.user.{user}.wish.again", submission(key="a subject"), {}))
    assert eventually(lambda: stack.get("/tasks", after=seq, limit=1), "the projection passed it")["position"] >= seq


@pytest.mark.parametrize("name", BAD_WISH)
def test_a_wish_that_cannot_be_met_is_rejected_with_a_reason(stack, name):
    seq = send_as_user(stack, ("log.user.{user}.wish", submission(key=name, body=BAD_WISH[name]), {}))
    answer = eventually(
        lambda: (said := stack.get(f"/submissions/{seq}")) and said["status"] == "rejected" and said,
        lambda: f"rejected: {stack.get(f'/submissions/{seq}')}\n{stack.log_ends()}",
        20,
    )
    assert answer["reason"]


def test_a_batch_name_that_is_no_name_is_rejected_with_a_reason(stack):
    seq = send_as_user(stack, ("log.user.{user}.wish", submission(key="names", batch="Not A Batch!/../.."), {}))
    answer = eventually(
        lambda: (said := stack.get(f"/submissions/{seq}")) and said["status"] == "rejected" and said,
        lambda: f"rejected: {stack.get(f'/submissions/{seq}')}",
        20,
    )
    assert "batch" in answer["reason"].lower()


@pytest.mark.parametrize(
    "wish",
    [
        {"type": "cancel-requested", "tasks": [[10**9, 0, 5]]},
        {"type": "cancel-requested", "tasks": [[1, 9, 2]]},
        {"type": "retry-requested", "batch": "nobody-knows-it"},
        {"type": "signal-requested", "tasks": [[1, 0, 10**12]], "signal": "SIGNONSENSE"},
        {"type": "batch-resume-requested", "batch": "nobody-knows-it"},
        {"type": "worker-resize-requested", "workers": ["local-1"], "concurrency": -3},
        {"type": "worker-pause-requested", "workers": ["nobody"]},
    ],
    ids=lambda wish: f"{wish['type']} {list(wish.values())[-1]}",
)
def test_a_wish_about_what_is_not_there_is_refused_with_a_reason(stack, wish):
    seq = send_as_user(stack, ("log.user.{user}.wish", json.dumps(wish).encode(), {}))
    eventually(lambda: seq in ledger_of(stack).refusals, lambda: f"a refusal of {seq}\n{stack.log_ends()}", 15)
    assert ledger_of(stack).refusals[seq]


def test_a_worker_that_reports_nonsense_changes_no_task(start):
    from .wire import send

    stack = start()
    done = stack.submit("--array", "0-2", "--wait", "--", "true")
    ended = [f"{done}.0.1", "succeeded"]
    reports = [
        {"ended": [[f"{done}.7.1", "succeeded"]]},
        {"ended": [["999999.0.1", "succeeded"]]},
        {"ended": [[f"{done}.0.9", "failed", 1, "exit"]]},
        {"ended": [["not an attempt", "succeeded"]]},
        {"moved": [["1.1", "running", 1e308]]},
        {"ended": [ended, ended, ended]},
        {"delivered": [[f"{done}.1.1", [["../../etc/passwd", -1, ""]]]]},
    ]
    messages = [
        (
            "log.worker.local-1.report",
            json.dumps({"type": "attempts-reported", "life": 1, "n": 10**6 + k} | r).encode(),
            {},
        )
        for k, r in enumerate(reports)
    ]
    seq = send(stack, worker_creds(stack), "worker", "local-1", messages)
    assert stack.get("/tasks", after=seq, limit=1)["position"] >= seq
    assert stack.states(done) == {"succeeded": 3}
    stack.good()


def worker_creds(stack: Stack):
    """The credentials the agent keeps in its directory."""
    found = [f for f in (stack.state / "workers" / "local-1").rglob("*.creds") if f.is_file()]
    assert found, f"no credentials of local-1 among {list((stack.state / 'workers' / 'local-1').iterdir())}"
    return found[0]
