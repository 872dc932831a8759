"""Explain is total: whatever the state, everything has a reason, and every reason a remedy or why none is needed."""

from longshore_dispatcher.core.explain import NOTHING, explain


def sound(answer):
    """An answer that leaves nobody without a reason and a remedy, and whose figures agree."""
    assert answer.state, answer
    assert answer.reasons, answer
    for reason in answer.reasons:
        _sound(reason, answer)
    if answer.eta is not None:
        assert answer.eta.seconds >= 0, answer
        assert answer.eta.basis, answer
        assert answer.eta.seconds < 1e12, answer
    return answer


def _sound(reason, answer):
    assert reason.text, answer
    assert reason.fix, answer
    assert reason.fix != NOTHING, answer
    assert "{" not in reason.text + reason.fix, answer
    assert reason.count > 0, answer
    for part in reason.parts:
        _sound(part, answer)


def everything(state, now):
    """The answers about every submission, batch and worker there is, all of them sound."""
    batches = {sub.batch for sub in state.submissions.values()} | set(state.batches) | {"nowhere"}
    for kind, names in (
        ("submission", [*state.submissions, *state.closed, 10**9]),
        ("batch", batches),
        ("worker", [*state.workers, "nobody"]),
    ):
        for name in names:
            yield sound(explain(state, str(name), kind, now))


def tasks(state, now):
    """The same about every task of every open submission."""
    for sub in state.submissions.values():
        for index in range(sub.size):
            answer = sound(explain(state, f"{sub.id}.{index}", "task", now))
            assert answer.state == sub.state_of(index)
            yield answer
