"""Secrets from the SDK and the command line: a box for each worker that it alone opens, and no value anywhere else."""

import pytest

from longshore import sharing
from longshore.records import Worker
from longshore.specs import spec
from longshore_common import confidential
from longshore_common.adapters import nats_keys
from longshore_common.confidential import Sheet
from longshore_common.errors import BadInput
from longshore_data.sealing import Opener

OPENER = Opener("secret", "longshore secret set")


def sheet(value="geheim", name="TOKEN", **more):
    return Sheet(owner="ada", name=name, values={name: value}, **more)


def worker(name, seed):
    return Worker(name=name, state="up", public_key=nats_keys.public_key(seed))


def test_each_worker_gets_a_box_that_says_whose_secret_it_is():
    seeds = [nats_keys.make_seed("user") for _ in range(3)]
    (event,) = sharing.confided(sheet(expires=5.0), [worker(f"w{k}", seed) for k, seed in enumerate(seeds)])
    assert event.name == "TOKEN"
    assert "geheim" not in str(event)
    for box, seed in zip(event.boxes, seeds, strict=True):
        found = confidential.sheet(OPENER.open(box.box, seed), "ada", "TOKEN")
        assert (found.values, found.expires) == ({"TOKEN": "geheim"}, 5.0)
        for owner, name in (("bob", "TOKEN"), ("ada", "OTHER")):
            with pytest.raises(BadInput, match="was sealed for ada/TOKEN"):
                confidential.sheet(OPENER.open(box.box, seed), owner, name)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: sheet("a\0b"), "NUL"),
        (lambda: sheet("x" * 70_000), "65536 bytes"),
        (lambda: sheet(name="no name"), "can name no secret"),
        (lambda: sheet(name="LONGSHORE_TASK"), "choose another"),
    ],
)
def test_what_no_program_can_be_given_is_refused_without_showing_it(made, words):
    with pytest.raises(BadInput, match=words) as told:
        confidential.text(made())
    assert "xxx" not in str(told.value)


def test_what_a_worker_holds_is_in_its_facts():
    assert sharing.secrets(Worker(name="w", facts={"secrets": ["ada/TOKEN"]})) == ("ada/TOKEN",)
    assert sharing.secrets(Worker(name="w")) == ()


def test_a_spec_names_secrets_that_can_be_and_are_no_variables_too():
    assert spec(["true"], secrets=["TOKEN"]).secrets == ("TOKEN",)
    with pytest.raises(BadInput, match="can name no secret"):
        spec(["true"], secrets=["no name"])
    with pytest.raises(BadInput, match="both a secret and a variable"):
        spec(["true"], secrets=["TOKEN"], env={"TOKEN": "x"})
