"""What tasks ask for and what governs all, as people write it: read, or refused with the fix."""

import pytest

from longshore import amounts, governing
from longshore.cli.root import called
from longshore.lines import from_json_lines
from longshore.specs import spec
from longshore_common.errors import BadInput
from longshore_common.model import Policy, Request

GIB = 1 << 30


def test_an_alternative_is_read_with_units_and_names_of_the_operators():
    found = amounts.request("cpus=8, memory=32G,gpus=1,disk=20G,license=0.5")
    assert found == Request(cpus=8, memory=32 * GIB, gpus=1, disk=20 * GIB, custom={"license": 0.5})
    assert amounts.request({"memory": "1G", "custom": {"license": 1}}) == Request(memory=GIB, custom={"license": 1.0})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "asks for nothing"), ("cpus", "NAME=AMOUNT"), ("cpu=1", "'cpus'"), ("mem=1G", "'memory'"), ("cpus=x", "number"),
        ("gpus=0.5", "as a whole"), ("memory=much", "size"), ("cpus=1,cpus=2", "twice"), ("License=1", "can name"),
        ("license=-1", "license"), ("cpus=nan", "cpus"), ({"custom": 3}, "alternative"), (7, "alternative"),
    ],
)  # fmt: skip
def test_an_alternative_that_is_none_is_refused_with_the_fix(words, said):
    with pytest.raises(BadInput, match=said):
        amounts.request(words)


def test_options_lines_and_the_sdk_say_the_same():
    line = b'{"command": ["x"], "cpus": 2, "custom": {"license": 1}, "alternatives": ["gpus=1", {"memory": "1G"}]}'
    (read,) = from_json_lines([line], {})
    said = spec(["x"], cpus=2, custom=["license=1"], alternatives=["gpus=1", Request(memory=GIB)])
    assert read == said
    assert said.alternatives == (Request(gpus=1), Request(memory=GIB))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"command": ["x"], "custom": {"cpus": 1}}', "every host has it"),
        (b'{"command": ["x"], "cpus": 1, "alternatives": [{"cpus": -1}]}', "cpus"),
        (b'{"command": ["x"], "cpus": 1, "alternatives": [{"custom": {"A b": 1}}]}', "can name no resource"),
        (b'{"command": ["x"], "alternatives": [{"cpus": 1}]}', "asks for nothing"),
        (b'{"command": ["x"], "cpus": 1, "alternatives": [{}]}', "asks for nothing"),
    ],
)
def test_what_no_host_can_be_asked_for_is_refused_with_its_line(line, said):
    with pytest.raises(BadInput, match=rf"line 2.*{said}"):
        list(from_json_lines([b'{"command": ["ok"]}', line], {}))


def test_sizes_of_workers_are_numbers_percentages_or_auto():
    assert [amounts.concurrency(w) for w in ("auto", "AUTO", -1, "8", 0)] == [-1, -1, -1, 8, 0]
    assert [amounts.prefetch(w) for w in ("auto", "8", "50%", "0%")] == [(-1, None), (8, None), (None, 50), (0, None)]
    for word in ("some", "-2", "1.5", ""):
        with pytest.raises(BadInput, match="auto"):
            amounts.concurrency(word)
        with pytest.raises(BadInput, match="auto"):
            amounts.prefetch(word)
    with pytest.raises(BadInput, match="1000%"):
        amounts.prefetch("1001%")


def test_a_policy_is_changed_word_by_word_and_the_rest_stays():
    changed = governing.changed(Policy(breaker_failures=9), ["half_life=1d", "trouble.host=3", "trouble.*=5"])
    assert changed == Policy(half_life=86_400, breaker_failures=9, trouble={"host": 3, "*": 5})
    assert governing.changed(changed, {"breaker_failures": 2, "trouble": {"oom": 1}}).trouble["oom"] == 1
    assert governing.forgotten(changed, ["trouble.host", "half_life"]) == Policy(breaker_failures=9, trouble={"*": 5})
    assert governing.forgotten(changed, []) == Policy()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("halflife=1d", "half_life"), ("half_life", "KEY=VALUE"), ("half_life=long", "duration"), ("trouble=3", "by cause"),
        ("trouble.hosts=3", "worker-lost"), ("breaker_failures=1.5", "whole number"), ("half_life.host=3", "has no"),
        ("first_wait=-1", "duration"),
    ],
)  # fmt: skip
def test_a_policy_that_is_none_is_refused_with_what_there_is(word, said):
    with pytest.raises(BadInput, match=said):
        governing.changed(Policy(), [word])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("batch", "b", None, None), "say what to change"), (("batch", "b", 0.0, None), "0.001"),
        (("user", "u", float("nan"), None), "weight"), (("batch", "b", None, -1), "no limit"),
        (("batch", "No Batch", 2.0, None), "No Batch"), (("user", "", 2.0, None), "names no user"),
        (("worker", "w", 2.0, None), "batch or of a user"),
    ],
)  # fmt: skip
def test_a_share_that_is_none_is_refused_with_the_fix(given, said):
    with pytest.raises(BadInput, match=said):
        governing.share(*given)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["submit", "--test", "--cpus", "1", "--or", "cpu=2", "--", "true"], "'cpus'"),
        (["submit", "--test", "--or", "cpus=2", "--", "true"], "--or replaces"),
        (["submit", "--test", "--custom", "x", "--", "true"], "NAME=AMOUNT"),
        (["share", "batch", "b", "--weight", "1", "--reset"], "--reset"),
        (["share", "user", "u"], "--weight"),
        (["worker", "resize", "w1"], "--concurrency auto"),
        (["worker", "resize", "w1", "--concurrency", "all"], "auto"),
        (["up", "--concurrency", "lots"], "auto"),
    ],
)
def test_what_was_typed_wrong_is_told_before_anything_is_sent(words, said):
    with pytest.raises(BadInput, match=said):
        called(words)


def test_what_would_be_submitted_is_shown_whole(capfdbinary):
    words = ["--cpus", "2", "--custom", "license=1", "--or", "gpus=1", "--or", "memory=1G,fpga=2", "--", "true"]
    assert called(["submit", "--test", "--key", "k", *words]) == 0
    out = capfdbinary.readouterr().out
    assert b'"custom":{"license":1.0},"alternatives":[{"gpus":1},{"memory":1073741824,"custom":{"fpga":2.0}}]' in out
