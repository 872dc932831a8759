"""Stacks that are always taken down again, and the marks that keep these tests out of the fast run."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .stack import Stack

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.chaos)


@pytest.fixture
def start() -> Iterator[Callable[..., Stack]]:
    """Starts stacks; each is stopped and removed when the test ends."""
    stacks: list[Stack] = []

    def begin(**options: object) -> Stack:
        stacks.append(Stack(**options))  # type: ignore[arg-type]
        return stacks[-1].up()

    yield begin
    for stack in stacks:
        stack.close()
