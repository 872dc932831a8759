"""Slots under pressure of the disk: simulated hosts whose waiting depends on how many tasks run."""

from hypothesis import given
from hypothesis import strategies as st

from longshore_agent.core.throttle import CALM, HIGH, HOLD, SPREAD_MOST, WINDOW, Throttle


def simulate(throttle, slots, waiting, seconds, *, start=0, running=None):
    """Run a host for a while: tasks end every 3 s and are replaced up to the limit; what was allowed each second."""
    running = slots if running is None else running
    allowed = []
    for second in range(start, start + seconds):
        throttle.sample(waiting(running), float(second), slots, running)
        if second % 3 == 0:
            running = throttle.limit(slots)
        allowed.append(throttle.limit(slots))
    return allowed


def test_a_calm_host_is_never_slowed():
    assert set(simulate(Throttle(), 32, lambda _: 39.0, 1000)) == {32}


def test_a_short_peak_is_no_pressure():
    throttle = Throttle()
    peaks = [100.0 if second % 10 < 3 else 0.0 for second in range(200)]
    for second, waiting in enumerate(peaks):
        throttle.sample(waiting, float(second), 8, 8)
    assert throttle.limit(8) == 8


def test_it_settles_where_the_disk_copes():
    """Ten tasks can be fed; each more adds to the waiting."""
    allowed = simulate(Throttle(), 32, lambda running: min(100.0, 8.0 * max(0, running - 4)), 3000)
    late = allowed[1000:]
    assert max(late) <= 14
    assert sum(late) / len(late) > 8


def test_one_slot_always_remains_and_everything_comes_back():
    throttle = Throttle()
    assert min(simulate(throttle, 4, lambda _: 100.0, 300)) == 1
    assert throttle.limit(4) == 1
    assert simulate(throttle, 4, lambda _: 0.0, 600, start=300)[-1] == 4
    assert throttle.allowed is None


def test_between_the_marks_nothing_changes():
    throttle = Throttle()
    simulate(throttle, 8, lambda _: 100.0, WINDOW)
    assert throttle.limit(8) == 7
    assert set(simulate(throttle, 8, lambda _: (HIGH + HOLD) / 2, 500, start=WINDOW)) == {7}


def test_slots_that_are_not_used_are_not_counted_down_one_by_one():
    throttle = Throttle()
    for second in range(WINDOW):
        throttle.sample(90.0, float(second), 64, 6)
    assert throttle.limit(64) == 5


def until_it_returns(throttle, at):
    """Press until a slot is gone, then be calm until it is back; (seconds that took, the instant)."""
    while throttle.limit(8) == 8:
        throttle.sample(100.0, at, 8, 8)
        at += 1
    lowered = at
    while throttle.limit(8) < 8:
        throttle.sample(0.0, at, 8, 7)
        at += 1
    return at - lowered, at


def test_each_return_of_the_pressure_halves_the_pace_until_it_stays_away():
    throttle, at, waits = Throttle(), 0.0, []
    for _ in range(8):
        waited, at = until_it_returns(throttle, at)
        waits.append(waited)
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]
    assert waits[-1] == SPREAD_MOST
    assert until_it_returns(throttle, at + CALM)[0] == waits[0]


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 9)), max_size=300), st.integers(0, 40))
def test_whatever_is_measured_the_limit_is_sane(samples, slots):
    throttle = Throttle()
    for second, (waiting, running) in enumerate(samples):
        before = throttle.limit(slots)
        changed = throttle.sample(waiting, float(second), slots, min(running, slots))
        after = throttle.limit(slots)
        assert min(1, slots) <= after <= slots
        assert changed or after == before
        if throttle.waiting >= HOLD:
            assert after <= before
        else:
            assert after <= before + 1
