"""Parts that hang instead of dying: the others go on, and what wakes up late changes nothing that was decided."""

import pytest

from .books import check_books, ledger_of
from .outputs import Evidence
from .stack import eventually


def published(evidence: Evidence) -> int:
    """How many outputs are visible: the one witness that needs no part of the stack."""
    return sum(1 for p in evidence.out.iterdir() if p.is_file())


@pytest.mark.parametrize("part", ["api", "recruiter"])
def test_tasks_run_to_their_end_while_a_part_that_decides_nothing_hangs(start, part):
    stack = start(concurrency=4)
    evidence = Evidence(stack, 200, 0.02)
    with stack.frozen(part):
        eventually(
            lambda: published(evidence) == 200, lambda: f"200 outputs, but {published(evidence)}\n{stack.log_ends()}"
        )
    stack.finish(evidence.submission, 200)
    check_books(stack, evidence)
    assert evidence.run_more_than_once() == {}


def test_the_agent_works_on_while_the_log_hangs_and_reports_later(start):
    stack = start(concurrency=4)
    evidence = Evidence(stack, 16, 1.0)  # long enough that what is prefetched has come before the log hangs
    eventually(lambda: any(evidence.ran.iterdir()), "the first process runs")
    with stack.frozen("nats"):
        ran = len(list(evidence.ran.iterdir()))
        eventually(lambda: len(list(evidence.ran.iterdir())) >= ran + 4, "prefetched attempts go on running", 15)
    stack.finish(evidence.submission, 16)
    check_books(stack, evidence)
    assert evidence.run_more_than_once() == {}


def test_what_a_worker_finishes_after_it_was_declared_lost_is_never_published(start):
    stack = start(concurrency=2, workers=2, LONGSHORE_LOST_AFTER="3")
    evidence = Evidence(stack, 60, 0.3)
    eventually(lambda: stack.succeeded(evidence.submission) >= 8, "the first tasks done")
    with stack.frozen("agent"):
        eventually(
            lambda: stack.succeeded(evidence.submission) == 60,
            lambda: f"{stack.states(evidence.submission)}\n{stack.log_ends()}",
            50,
        )
    # the frozen agent now finds its processes ended, and hears that nobody wants them
    joins = len(ledger_of(stack).joins)
    eventually(
        lambda: len(ledger_of(stack).joins) > joins or len(ledger_of(stack).joins) > 2, "the lost worker joined again"
    )
    stack.good()
    check_books(stack, evidence)
    again = evidence.run_more_than_once()
    assert again, "the frozen worker held running tasks, so some must have run a second time elsewhere"
