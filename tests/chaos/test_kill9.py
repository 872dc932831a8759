"""Any one process dies by kill -9 in the middle of 1,000 tasks with outputs, and nobody can tell from the results."""

import pytest

from .books import check_books
from .outputs import Evidence
from .stack import Stack, eventually

SIZE = 1000


def kill_in_the_middle(stack: Stack, part: str) -> Evidence:
    evidence = Evidence(stack, SIZE, 0.02)
    eventually(lambda: stack.succeeded(evidence.submission) >= SIZE // 5, "a fifth of the tasks done", 40)
    name, pid = stack.kill(part)
    stack.restarted(name, pid)
    evidence.stack.finish(evidence.submission, SIZE)
    return evidence


@pytest.mark.parametrize("part", ["nats", "postgres", "dispatcher", "api", "agent"])
def test_1000_tasks_survive_kill_9_of_a_part_and_none_runs_twice(start, part):
    stack = start(concurrency=4)
    evidence = kill_in_the_middle(stack, part)
    check_books(stack, evidence)
    assert evidence.run_more_than_once() == {}


def test_1000_tasks_survive_kill_9_of_the_spawner_and_only_its_own_processes_run_again(start):
    stack = start(concurrency=4)
    evidence = kill_in_the_middle(stack, "spawner")
    ledger = check_books(stack, evidence)
    again = evidence.run_more_than_once()
    # only what it ran, or had seen end without having told anybody yet, and only once more
    assert {k: ran for k, ran in again.items() if len(ran) != 2} == {}
    assert {ledger.requeues[evidence.submission, k, 1] for k in again} <= {"host"}
    assert len(again) < SIZE // 10


def test_no_more_processes_run_at_once_than_the_worker_has_slots(start):
    stack = start(concurrency=3)
    evidence = Evidence(stack, 60, 0.1)
    eventually(lambda: stack.succeeded(evidence.submission) >= 20, "a third of the tasks done")
    stack.kill("agent")
    stack.finish(evidence.submission, 60)
    ledger = check_books(stack, evidence)
    assert {worker: ledger.most_at_once(worker) for worker in ledger.runs} == {"local-1": 3}
