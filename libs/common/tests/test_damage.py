"""Bytes that no decoder takes, at the borders of the common package: an error of ours that shows them."""

import pytest

from longshore_common import codec, profile, subjects
from longshore_common.errors import BadInput, Unreadable

#: No UTF-8 in a string; nested too deep; cut off.
BAD = (b'{"user": "\xff"}', b'{"user": ' + b"[" * 100_000, b'{"user": "a')


@pytest.mark.parametrize("bytes_", BAD)
def test_a_profile(tmp_path, bytes_):
    (tmp_path / "client.json").write_bytes(bytes_)
    with pytest.raises(BadInput, match="damaged"):
        profile.load(tmp_path)


@pytest.mark.parametrize("bytes_", [b'{"type":"tasks-submitted","key":"\xff"}', BAD[1]])
def test_an_event(bytes_):
    with pytest.raises(Unreadable, match="begin with"):
        codec.decode(subjects.user("ada", "wish"), bytes_)
