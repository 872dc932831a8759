"""When a disk takes no more work, and when it does again."""

import pytest

from longshore_agent.core.watermark import Space, low, missing, why
from longshore_common.errors import BadInput

GIB = 1 << 30


def disk(free, total=100 * GIB, files=0, files_free=0):
    return Space("/w", int(free * GIB), total, files, files_free)


@pytest.mark.parametrize(
    ("setting", "total", "mark"),
    [
        ("", 200 * GIB, 4 * GIB),
        ("", 20 * GIB, GIB),
        ("", 5 * GIB, GIB // 2),
        ("", 100_000 * GIB, 20 * GIB),
        ("5%", 100 * GIB, 5 * GIB),
        ("3G", 100 * GIB, 3 * GIB),
        ("0", 100 * GIB, 0),
    ],
)
def test_the_mark_is_as_set_or_fits_the_disk(setting, total, mark):
    assert low(setting, total) == mark


def test_a_mark_that_cannot_be_read_is_told():
    with pytest.raises(BadInput, match="LONGSHORE_DISK_LOW"):
        low("a little", GIB)


def test_below_the_mark_the_reason_has_numbers_and_the_fix():
    reason = why(disk(0.9), GIB, hindered=False)
    assert "/w has 0.9 GiB left, below its watermark of 1.0 GiB" in reason
    assert "LONGSHORE_DISK_LOW" in reason
    assert why(disk(1.01), GIB, hindered=False) == ""


def test_a_tenth_more_must_be_free_before_work_is_taken_again():
    assert why(disk(1.05), GIB, hindered=True)
    assert why(disk(1.11), GIB, hindered=True) == ""
    assert missing(disk(1.0), GIB, hindered=True) == GIB // 10


def test_a_disk_without_inodes_is_full():
    assert "3 inodes" in why(disk(50, files=10_000, files_free=3), GIB, hindered=False)
    assert why(disk(50, files=10_000, files_free=3), 0, hindered=False) == ""
    assert why(disk(50), GIB, hindered=False) == ""
