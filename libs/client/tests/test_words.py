"""The command line is read as people type it, and a command is kept to the byte."""

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.cli.root import called, tree
from longshore_common.errors import BadInput

ANY = st.lists(st.text(max_size=8) | st.sampled_from(["--", "-b", "--array", "-", "", "--wait", "-x", "--env=a"]))


def parsed(line, *path):
    """What the command of this path (default: submit) would be called with."""
    command = tree()
    for word in path or ("submit",):
        command = command.get_command(click.Context(command), word)
    given = command.make_context("longshore", list(line)).params
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items() if value}


@given(ANY)
def test_all_after_two_dashes_is_the_command(words):
    assert parsed(["--wait", "-b", "x", "--", *words]).get("command", []) == words


@given(st.from_regex(r"[a-z./{][^\0]{0,8}", fullmatch=True), ANY)
def test_options_end_at_the_first_word_that_is_none(program, words):
    found = parsed(["--array", "0-9", program, *words])
    assert (found["command"], found["array"]) == ([program, *words], "0-9")


@given(st.sampled_from(["-O", "-e", "--container-option", "--env"]), st.text(max_size=8))
def test_an_option_takes_the_next_word_whatever_it_begins_with(name, value):
    found = parsed([name, value, "true"])
    assert value in [*found.get("container_option", ()), *found.get("env", ())]
    assert found["command"] == ["true"]


def test_repeated_options_gather_and_defaults_are_not_shared():
    assert parsed(["-i", "a", "-i", "b", "x"])["inputs"] == ["a", "b"]
    assert "inputs" not in parsed(["x"])


def test_a_word_may_be_empty_or_one_dash():
    assert parsed(["", "a", ""])["command"] == ["", "a", ""]
    assert parsed(["-q", "-", "-b"])["command"] == ["-", "-b"]


def test_short_options_take_joined_values_and_equal_signs():
    for short in (["-bmine", "-q"], ["-qb", "mine"], ["-qbmine"], ["-b", "mine", "--quiet"]):
        found = parsed([*short, "--array=0-3", "--env=A=1", "x", "-q"])
        assert (found["batch"], found["array"], found["env"], found["quiet"]) == ("mine", "0-3", ["A=1"], True)
        assert found["command"] == ["x", "-q"]


@pytest.mark.parametrize(
    "line", [["--nope", "x"], ["--retry", "x", "y"], ["--retry", "-1", "y"], ["--arr", "0-9", "x"], ["-b"]]
)
def test_misuse_is_refused_and_help_is_named(line):
    with pytest.raises(BadInput, match="Try `longshore submit --help`"):
        called(["submit", *line])


def test_words_and_options_may_mix_where_no_command_follows():
    assert parsed(["1.2", "--batch", "x", "3.4"], "task", "cancel") == {"ids": ["1.2", "3.4"], "batch": "x"}
    assert parsed(["--", "-b", "x"], "task", "cancel") == {"ids": ["-b", "x"]}


def test_a_word_that_takes_others_tells_them_when_it_stands_alone(capsys):
    for line, said in (([], "submit"), (["help"], "worker"), (["task"], "signal"), (["db"], "rebuild")):
        assert called(line) == 0
        assert said in capsys.readouterr().out


def test_the_help_of_every_command_tells_its_options_and_arguments(capsys):
    assert called(["task", "cancel", "-h"]) == 0
    out = capsys.readouterr().out
    assert "1204.17" in out
    assert "--batch" in out
