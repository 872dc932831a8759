"""The command line is read as people type it, and a command is kept to the byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.cli.submit import WORDS
from longshore.cli.words import Command, argument, flag, option
from longshore_common.errors import BadInput

ANY = st.lists(st.text(max_size=8) | st.sampled_from(["--", "-b", "--array", "-", "", "--wait", "-x", "--env=a"]))


def parsed(line, words=WORDS, rest="command"):
    found = {}

    def take(**given):
        """Take them."""
        found.update(given)

    Command(take, words, rest=rest).call(line, "longshore submit")
    return found


@given(ANY)
def test_all_after_two_dashes_is_the_command(words):
    assert parsed(["--wait", "-b", "x", "--", *words])["command"] == words


@given(st.from_regex(r"[a-z./{][^\0]{0,8}", fullmatch=True), ANY)
def test_options_end_at_the_first_word_that_is_none(program, words):
    found = parsed(["--array", "0-9", program, *words])
    assert (found["command"], found["array"]) == ([program, *words], "0-9")


@given(st.sampled_from(["-O", "-e", "--container-option", "--env"]), st.text(max_size=8))
def test_an_option_takes_the_next_word_whatever_it_begins_with(name, value):
    found = parsed([name, value, "true"])
    assert value in found["container_option"] + found["env"]
    assert found["command"] == ["true"]


def test_repeated_options_gather_and_defaults_are_not_shared():
    assert parsed(["-i", "a", "-i", "b", "x"])["inputs"] == ["a", "b"]
    assert parsed(["x"])["inputs"] == []


def test_short_options_take_joined_values_and_equal_signs():
    for short in (["-bmine", "-q"], ["-qb", "mine"], ["-qbmine"], ["-b", "mine", "--quiet"]):
        found = parsed([*short, "--array=0-3", "--env=A=1", "x", "-q"])
        assert (found["batch"], found["array"], found["env"], found["quiet"]) == ("mine", "0-3", ["A=1"], True)
        assert found["command"] == ["x", "-q"]


@pytest.mark.parametrize(
    "line", [["--nope", "x"], ["--retry", "x", "y"], ["--retry", "-1", "y"], ["--arr", "0-9", "x"], ["-b"]]
)
def test_misuse_is_refused_and_help_is_named(line):
    with pytest.raises(BadInput, match="--help"):
        parsed(line)


def test_words_and_options_may_mix_where_no_command_follows():
    words = (argument("ids", "ids", nargs="*"), option("-b", "--batch", meta="B", help="b"), flag("--json", help="j"))
    found = parsed(["1.2", "--batch", "x", "3.4", "--json"], words, None)
    assert found == {"ids": ["1.2", "3.4"], "batch": "x", "json": True}
