"""What people write of edits, and the filters by which they name tasks."""

import pytest

from longshore.editing import Replacement, assignments, change
from longshore.filters import Filter, chunks
from longshore_common.errors import BadInput
from longshore_common.ids import TaskRange


def test_values_are_read_as_their_fields_want_them():
    made = change(
        assignments(
            [
                "memory=8G",
                "run_timeout=1h30m",
                "cpus=1.5",
                "gpus=2",
                "command=sort 'a b' -k1",
                "env.SEED=7",
                "shell=yes",
            ],
            ["name"],
        )
    )
    assert made.set == {
        "memory": 8 << 30, "run_timeout": 5400.0, "cpus": 1.5, "gpus": 2, "command": ["sort", "a b", "-k1"],
        "env.SEED": "7", "shell": True, "name": None,
    }  # fmt: skip


def test_lists_may_be_json_and_custom_amounts_are_numbers():
    made = change(assignments(['inputs=["s3://b/a b", "s3://b/c"]', "custom.license=2"]))
    assert made.set == {"inputs": ["s3://b/a b", "s3://b/c"], "custom.license": 2}


def test_words_are_replaced_in_each_named_field():
    made = change({}, [Replacement("v1", "v2", ("command", "inputs")), Replacement("x", "")])
    assert [(s.field, s.find, s.replace) for s in made.substitutions] == [
        ("command", "v1", "v2"), ("inputs", "v1", "v2"), ("command", "x", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["memory"], "FIELD=VALUE"),
        (["memori=1G"], "command"),
        (["cpus=many"], "many"),
        (["memory=lots"], "lots"),
        (["shell=perhaps"], "yes nor no"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_sent(words, why):
    with pytest.raises(BadInput, match=why):
        change(assignments(words))


def test_an_edit_of_nothing_or_of_an_unknown_place_is_told():
    with pytest.raises(BadInput, match="changes nothing"):
        change({})
    with pytest.raises(BadInput, match="cannot be replaced in 'memory'"):
        change({}, [Replacement("a", "b", ("memory",))])


def test_a_wish_names_only_so_many_ranges():
    ranges = [TaskRange(1, 2 * k, 2 * k) for k in range(45_000)]
    assert [len(some) for some in chunks(ranges)] == [20_000, 20_000, 5_000]
    assert Filter(batch="b", state="failed").narrow
    assert not Filter(batch="b").narrow
