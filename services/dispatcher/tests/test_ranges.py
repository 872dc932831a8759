"""Ranges behave as sets of whole numbers."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from longshore_dispatcher.core.ranges import Ranges, of, whole

RUNS = st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.integers(0, 12)), max_size=30)


@given(RUNS)
def test_they_agree_with_a_set_after_any_additions_and_cuts(steps):
    ranges, model = Ranges(), set()
    for add, lo, more in steps:
        run = set(range(lo, lo + more + 1))
        if add:
            ranges.add(lo, lo + more)
            model |= run
        else:
            gone = ranges.cut(lo, lo + more)
            assert {i for a, b in gone for i in range(a, b + 1)} == model & run
            model -= run
        assert len(ranges) == len(model)
        assert {i for a, b in ranges.ascending() for i in range(a, b + 1)} == model
        assert ranges.overlap(5, 20) == len(model & set(range(5, 21)))
        assert all(ranges.has(i) == (i in model) for i in range(55))
        ascending = list(ranges.ascending())
        assert all(b + 1 < c for (_, b), (c, _) in pairwise(ascending))


@given(RUNS, st.integers(0, 60))
def test_the_first_k_are_the_lowest(steps, k):
    ranges, model = Ranges(), set()
    for _, lo, more in steps:
        ranges.add(lo, lo + more)
        model |= set(range(lo, lo + more + 1))
    assert [i for a, b in ranges.first(k) for i in range(a, b + 1)] == sorted(model)[:k]


def test_runs_given_in_order_make_the_same_set():
    assert of([(0, 3), (7, 9)]).runs == [(7, 9), (0, 3)]
    assert of([(0, 3), (7, 9)]).count == 7
    assert whole(0).count == 0
