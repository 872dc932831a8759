"""`Client` and `AsyncClient` are one interface: the same verbs, the same options."""

import inspect
from typing import Any

import pytest

import longshore
from longshore.client import AsyncClient
from longshore.sync import Client

#: What only one of them has, because it is what makes them different.
PARTS = {"profile", "bookmark", "reader", "writer", "governing", "people", "directories"}


def verbs(kind: type) -> dict[str, Any]:
    return {name: value for name, value in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}


@pytest.mark.parametrize("name", sorted(verbs(AsyncClient)))
def test_each_verb_is_there_for_everyone_with_the_same_options(name: str) -> None:
    there, here = (inspect.signature(verbs(kind)[name]).parameters for kind in (AsyncClient, Client))
    assert list(there) == list(here)
    assert [p.kind for p in there.values()] == [p.kind for p in here.values()]
    assert [p.default for p in there.values()] == [p.default for p in here.values()]


def test_every_verb_says_what_it_does() -> None:
    for kind in (AsyncClient, Client):
        assert [name for name, verb in verbs(kind).items() if not verb.__doc__] == []
    assert not PARTS & verbs(AsyncClient).keys()


def test_all_that_the_package_promises_is_there() -> None:
    for name in dir(longshore):
        assert getattr(longshore, name) is not None
