"""Words that name tasks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore import selectors as s
from longshore_common.errors import BadInput
from longshore_common.ids import TaskRange

LAST = s.Sized(7, 10)


def resolve(*words):
    return s.resolve(s.parse(words), lambda: LAST, {1204: 100}.__getitem__)


@given(st.integers(1, 10**9), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_range_written_is_the_range_read(submission, lo, more):
    written = TaskRange(submission, lo, lo + more)
    assert s.resolve(s.parse(str(written)), lambda: LAST, lambda _: 1) == (written,)


def test_a_submission_alone_is_all_of_it():
    assert resolve("1204") == (TaskRange(1204, 0, 99),)


def test_last_is_the_last_submission_or_a_part_of_it():
    assert resolve("last", "last.3", "last.0-4") == (TaskRange(7, 0, 9), TaskRange(7, 3, 3), TaskRange(7, 0, 4))


def test_commas_part_selectors():
    assert resolve("1204.0-3, last.1") == (TaskRange(1204, 0, 3), TaskRange(7, 1, 1))


def test_nothing_is_asked_that_is_not_needed():
    def never(*_):
        raise AssertionError

    assert s.resolve(s.parse("3.4"), never, never) == (TaskRange(3, 4, 4),)


@pytest.mark.parametrize("word", ["", "x", "0.1", "1.", "1.2.3", "1.5-3", "1-2", "last.", "latest", "1.²", "-1"])
def test_what_names_no_task_is_refused(word):
    with pytest.raises(BadInput):
        s.parse(word)


@given(st.text(max_size=12) | st.from_regex(r"(last|[0-9]{1,3})([.][0-9]{1,2}(-[0-9]{1,2})?)?", fullmatch=True))
def test_any_text_is_a_selector_or_a_clear_refusal(word):
    if not s.looks_like_one(word):
        with pytest.raises(BadInput, match="names no task"):
            s.parse(word)
        return
    for found in s.parse(word.split(",")[0]) if "-" not in word else ():
        assert found.submission is None or found.submission > 0
