"""The stack of most modules: one of each module's own, reached both ways."""

from collections.abc import Iterator

import pytest

from .stacks import Stack, place_for, running


@pytest.fixture(scope="module", params=["nats", "http"])
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """Whoever cannot reach NATS goes by HTTP alone: the same commands, the same results."""
    with place_for("cli") as root, running(Stack(root, request.param)) as made:
        yield made
