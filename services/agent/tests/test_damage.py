"""Files of the agent that no decoder takes: as good as none."""

import pytest

from longshore_agent.adapters.containers.pruning import Brought
from longshore_agent.adapters.containers.stored import StoredImages
from longshore_agent.adapters.entries import read

BAD = (b'["\xff"]', b"[" * 100_000, b'["a')


@pytest.mark.parametrize("bytes_", BAD)
def test_a_damaged_file_is_none(tmp_path, bytes_):
    for name in ("index", "brought.json", "images.json"):
        (tmp_path / name).write_bytes(bytes_)
    assert Brought(str(tmp_path)).names() == set()
    assert StoredImages(None, str(tmp_path)).loaded() == set()
    assert read(str(tmp_path.parent), tmp_path.name) is None
