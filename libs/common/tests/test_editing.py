"""What an edit makes of a spec."""

import pytest

from longshore_common.editing import asks, edited, fault
from longshore_common.errors import BadInput
from longshore_common.model import Change, Substitution, TaskSpec

SPEC = TaskSpec(command=("sort", "-k1", "a b"), env={"A": "1"}, inputs=("s3://b/a",), memory=5, name="a")


def test_fields_are_set_and_null_is_the_default():
    made = edited(SPEC, Change(set={"cpus": 2, "command": ["true"], "memory": None, "name": None}))
    assert made == TaskSpec(command=("true",), env={"A": "1"}, inputs=("s3://b/a",), cpus=2)


def test_single_entries_are_set_and_removed():
    made = edited(SPEC, Change(set={"env.B": "2", "env.A": None, "custom.license": 1}))
    assert (made.env, made.custom) == ({"B": "2"}, {"license": 1.0})


def test_words_are_replaced_wherever_they_stand_in_a_field():
    words = (Substitution(field="command", find="a", replace="ö"), Substitution(field="env", find="1", replace=""))
    made = edited(SPEC, Change(substitutions=words))
    assert (made.command, made.env) == (("sort", "-k1", "ö b"), {"A": ""})
    assert made.inputs == SPEC.inputs


def test_what_changes_nothing_is_the_very_same_spec():
    assert edited(SPEC, Change(set={"memory": 5}, substitutions=(Substitution(field="output", find="x"),))) is SPEC


def test_an_edit_that_cannot_be_is_told_by_the_fields_there_are():
    assert "command" in fault(Change(set={"comand": ["x"]}))
    assert "nothing" in fault(Change())
    assert "empty" in fault(Change(substitutions=(Substitution(field="command", find=""),)))
    assert not fault(Change(set={"env.A": "x"}))
    with pytest.raises(BadInput, match="cpus"):
        edited(SPEC, Change(set={"cpus": "many"}))
    with pytest.raises(BadInput, match="command"):
        edited(SPEC, Change(set={"command": None}))


def test_only_what_hosts_must_offer_moves_tasks():
    assert asks(Change(set={"custom.license": 1}))
    assert not asks(Change(set={"command": ["x"], "env.A": "b"}))
