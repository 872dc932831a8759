"""Sizes, durations, arrays and pairs mean what people mean by them, and nothing else is taken."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore import quantities as q
from longshore_common.errors import BadInput


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("512", 512), ("4G", 4 << 30), ("4g", 4 << 30), ("4GiB", 4 << 30), ("1.5K", 1536), ("1_000", 1000),
     ("2 MB", 2 << 20), ("1T", 1 << 40), (7, 7)],
)  # fmt: skip
def test_a_size_is_bytes_in_binary_units(text, size):
    assert q.size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1", "4X", "1e3", "four", "4 G B", "0x10", -1])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(BadInput, match="size"):
        q.size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1h30m", 5400), ("2d", 172800), ("500ms", 0.5), ("12:00:00", 43200), ("30:00", 1800),
     ("2-03:00:00", 183600), ("1.5h", 5400), (" 5 ", 5), (2.5, 2.5), (timedelta(minutes=2), 120)],
)  # fmt: skip
def test_a_duration_is_seconds(text, seconds):
    assert q.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "1x", "h", "-5", "nan", "inf", "1:2:3:4", "m30", "1..5s", -1.0, float("nan")])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(BadInput):
        q.duration(text)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 1000), st.integers(1, 1000))
def test_an_array_labels_first_to_last_by_step(start, more, step, limit):
    found = q.array(f"{start}-{start + more}:{step}%{limit}")
    labels = range(start, start + more + 1, step)
    assert (found.start, found.step, found.size, found.limit) == (start, step, len(labels), limit)
    assert found.start + (found.size - 1) * found.step == labels[-1]


def test_a_single_number_is_an_array_of_that_one():
    assert q.array("7") == (7, 1, 1, 0)
    assert q.array("0-999_999").size == 1_000_000


@pytest.mark.parametrize("text", ["", "a", "5-3", "1-9:0", "0-9%0", "1,2", "-3", "0-9:", "0-999999999999"])
def test_what_is_no_array_is_refused(text):
    with pytest.raises(BadInput):
        q.array(text)


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True), st.text(max_size=20)))
def test_pairs_keep_values_whatever_they_hold(env):
    assert q.pairs([f"{name}={value}" for name, value in env.items()]) == env


@pytest.mark.parametrize("word", ["", "A", "=x", "1A=x", "A B=x"])
def test_what_is_no_pair_is_refused(word):
    with pytest.raises(BadInput, match="NAME=VALUE"):
        q.pairs([word])


def test_shown_numbers_are_short():
    assert [q.shown_size(n) for n in (0, 1536, 12 << 30)] == ["0", "1.5K", "12G"]
    assert [q.shown_duration(n) for n in (0.25, 42, 90, 5400, 200000)] == ["0.2s", "42s", "1m30s", "1h30m", "2d7h"]
