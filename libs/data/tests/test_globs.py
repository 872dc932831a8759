"""Patterns: what they mean, held against a slow and obvious reading of them, and how long wicked ones take."""

import re
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore_common.errors import BadInput
from longshore_data.globs import check, matches


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("*.bam", ["x.bam", "a/b/x.bam", ".bam"], ["x.bam.bai", "x.bam/y"]),
        ("/*.bam", ["x.bam"], ["a/x.bam"]),
        ("a/*.bam", ["a/x.bam"], ["x.bam", "a/b/x.bam", "b/a/x.bam"]),
        ("a/**/x", ["a/x", "a/b/x", "a/b/c/x"], ["b/x", "a/b", "x"]),
        ("a/**", ["a/x", "a/b/c"], ["a", "b/a/x"]),
        ("a/", ["a/x", "a/b/c"], ["a", "b/a/x"]),
        ("**/a/*", ["a/x", "b/a/x"], ["a", "a/b/x"]),
        ("**", ["a", "a/b"], []),
        ("*.{fq,fastq}.gz", ["x.fq.gz", "a/x.fastq.gz"], ["x.gz", "x.{fq,fastq}.gz"]),
        ("{a/*,b}", ["a/x", "b", "c/b"], ["a", "c/a/x"]),
        ("x{,.gz}", ["x", "x.gz"], ["x.bz"]),
        ("a{b,c{d,e}}", ["ab", "acd", "ace"], ["ac", "a"]),
        ("{x}", ["{x}"], ["x"]),
        ("[ab]?", ["ax", "bé"], ["a", "cx"]),
        ("[!a]", ["b"], ["a"]),
        ("a[|]b", ["a|b"], ["a", "b"]),
        ("a.b", ["a.b"], ["aXb"]),
        ("(a|b)+", ["(a|b)+"], ["a"]),
        ("é*", ["é", "é 日"], ["e"]),
        ("[", ["["], ["a"]),
    ],
)
def test_what_a_pattern_means(pattern: str, yes: list[str], no: list[str]) -> None:
    assert [p for p in yes if not matches(pattern, p)] == []
    assert [p for p in no if matches(pattern, p)] == []


def slowly(pattern: str, path: str) -> bool:
    """The same by one regular expression, for patterns of a, b, *, ** and slashes."""
    if "/" not in pattern:
        pattern = f"**/{pattern}"
    if pattern.endswith("/"):
        pattern += "**"
    segments = [s for s in pattern.split("/") if s]
    text = ""
    for number, segment in enumerate(segments):
        last = number == len(segments) - 1
        if segment == "**":
            text += ".+" if last else "(?:[^/]+/)*"
        else:
            text += re.sub(r"\*+", "[^/]*", segment) + ("" if last else "/")
    return re.fullmatch(text, path, re.DOTALL) is not None


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "*", "**", "/", "ab", "/**/"]), min_size=1, max_size=8).map("".join),
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=5).map("/".join),
)
def test_a_pattern_means_what_its_slow_reading_says(pattern: str, path: str) -> None:
    if pattern.strip("/"):
        assert matches(pattern, path) == slowly(pattern, path), (pattern, path)


@given(st.text(max_size=20), st.text(st.characters(codec="utf-8"), min_size=1, max_size=20))
def test_any_text_is_a_pattern_or_bad_input(pattern: str, path: str) -> None:
    assert matches(pattern, path) in (True, False)


def test_no_pattern_takes_for_ever_or_stands_for_too_many() -> None:
    then = time.monotonic()
    assert not matches("*a" * 60 + "b", "a" * 255)
    assert not matches("**/*a*/" * 30 + "b", "a/" * 100 + "c")
    for wicked in ("{a,b}" * 30, "{" * 2000 + "a,b" + "}" * 2000, "{a," * 300 + "}" * 300):
        with suppress(BadInput):
            check(wicked)
    with pytest.raises(BadInput, match="stands for more than 256"):
        check("{a,b}" * 30)
    assert time.monotonic() - then < 2
