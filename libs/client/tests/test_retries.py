"""What is tried again, as people write it, at the command and in the SDK."""

import json

import pytest

from longshore import retries, specs
from longshore_common.errors import BadInput

from .test_command import longshore


def test_budgets_name_causes_with_or_without_a_number():
    assert retries.budgets(["stage-in:5", "oom"]) == {"stage-in": 5, "oom": retries.USUAL}
    assert retries.budgets({"host": 7}) == {"host": 7}
    assert retries.never(["worker-lost"]) == {"worker-lost": 0}


@pytest.mark.parametrize("word", ["bad-luck", "operator", "stage-in:", "stage-in:x", "stage-in:-1", ":3"])
def test_what_is_no_budget_is_refused(word):
    with pytest.raises(BadInput):
        retries.budgets([word])


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("75", ((75, 75),)),
        ("75,100-110", ((75, 75), (100, 110))),
        ([2, (5, 9), "7"], ((2, 2), (5, 9), (7, 7))),
        (((75, 75),), ((75, 75),)),
    ],
)
def test_exit_codes_are_numbers_and_spans(given, found):
    assert retries.exits(given) == found


@pytest.mark.parametrize("given", ["", "0", "9-3", "300", "1-", "x", [-1], [(1, 2, 3)]])
def test_what_is_no_exit_code_is_refused(given):
    with pytest.raises(BadInput, match="75,100-110"):
        retries.exits(given)


def test_the_sdk_takes_words_and_values():
    made = specs.spec(
        ["x"], retries=2, retry_on=["stage-in:5"], retry_exits="75,100-110", fail_exits=[2], backoff="1m30s"
    )
    assert (made.retry_on, made.retry_exits, made.fail_exits, made.backoff) == (
        {"stage-in": 5},
        ((75, 75), (100, 110)),
        ((2, 2),),
        90,
    )


def test_lines_of_json_are_read_alike():
    made = specs.spec_of({"command": ["x"], "retry_on": {"oom": 0}, "retry_exits": [[75, 75], 80]}, {"retries": 1})
    assert (made.retry_on, made.retry_exits) == ({"oom": 0}, ((75, 75), (80, 80)))
    with pytest.raises(BadInput, match="--retry N"):
        specs.spec_of({"command": ["x"], "retry_exits": [75]}, {})


def test_the_command_says_it_all():
    words = "--retry 2 --retry-on stage-in:9 --no-retry-on oom --retry-exit 75,100-110 --retry-exit 3 --fail-exit 2"
    code, out, err = longshore("submit", "--test", *words.split(), "--backoff", "30s", "--", "true")
    assert code == 0, err
    spec = json.loads(out)["body"]["spec"]
    assert spec["retry_on"] == {"stage-in": 9, "oom": 0}
    assert spec["retry_exits"] == [[75, 75], [100, 110], [3, 3]]
    assert spec["fail_exits"] == [[2, 2]]
    assert spec["backoff"] == 30


def test_exit_codes_to_try_again_need_a_number_of_tries():
    code, out, err = longshore("submit", "--test", "--retry-exit", "75", "--", "true")
    assert (code, out) == (2, b"")
    assert "--retry N" in err
