"""Lines stay in order of submission, whoever comes, goes and comes back."""

from hypothesis import given
from hypothesis import strategies as st

from longshore_dispatcher.core.content import PLAIN
from longshore_dispatcher.core.queue import Key, Queue


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=80))
def test_a_line_is_its_members_in_order(steps):
    queue, key, model = Queue(), Key(0, "ada", "b", PLAIN), set()
    for put, submission in steps:
        if put:
            queue.put(key, submission)
            model.add(submission)
        else:
            queue.drop(key, submission)
            model.discard(submission)
        assert list(queue.lines.get(key, ())) == sorted(model)
        assert (key in queue.lines) == bool(model)


def test_a_line_of_many_that_left_from_the_middle_does_not_grow_for_ever():
    queue, key = Queue(), Key(0, "ada", "b", PLAIN)
    for submission in range(1, 5001):
        queue.put(key, submission)
    for submission in range(2, 5000):
        queue.drop(key, submission)
    assert list(queue.lines[key]) == [1, 5000]
    assert len(queue.lines[key].arrivals) < 2500
