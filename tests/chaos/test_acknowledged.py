"""An acknowledged submission is never lost, and a repeated one is one: nats-server dies again and again meanwhile."""

import threading
from pathlib import Path

import longshore
from longshore_common.errors import Unreachable

from .books import ledger_of
from .stack import Stack, eventually

SUBMISSIONS = 300


def insist(client: longshore.Client, out: Path, k: int) -> int:
    """Submit under one key until it is acknowledged; its number."""
    while True:
        try:
            sent = client.submit(["sh", "-c", f"echo ran >> {out}/{k}"], key=f"chaos-{k}", batch="insist")
        except (Unreachable, TimeoutError):
            continue
        assert sent.id is not None
        return sent.id


def keep_killing(stack: Stack, times: int, over: threading.Event) -> None:
    for _ in range(times):
        if over.is_set():
            return
        name, pid = stack.kill("nats")
        stack.restarted(name, pid)
        over.wait(2)


def test_every_acknowledged_submission_is_in_the_log_and_runs_once(start):
    stack = start(concurrency=4)
    out = stack.state / "ran"
    out.mkdir()
    over = threading.Event()
    killer = threading.Thread(target=keep_killing, args=(stack, 3, over))
    with longshore.Client(stack.state) as client:
        killer.start()
        ids = [insist(client, out, k) for k in range(SUBMISSIONS)]
        over.set()
        killer.join(timeout=60)
    assert len(set(ids)) == SUBMISSIONS
    ledger = ledger_of(stack)
    assert [n for n in ids if (n, 0) not in ledger.tasks] == []
    eventually(
        lambda: len(list(out.iterdir())) == SUBMISSIONS, lambda: f"{len(list(out.iterdir()))} ran\n{stack.log_ends()}"
    )
    eventually(
        lambda: stack.get("/batches/insist")["states"] == {"succeeded": SUBMISSIONS},
        lambda: f"{stack.get('/batches/insist')}",
    )
    assert {file.name: file.read_text() for file in out.iterdir() if file.read_text() != "ran\n"} == {}
