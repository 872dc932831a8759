"""What leaves a worker's disk is out of sight at once, gone soon, and asked for in the right order; settings say how much."""

import os

import pytest

from longshore_agent.adapters.room import Room, below, free, whole
from longshore_agent.adapters.workdirs import WorkDirs
from longshore_agent.service import storing
from longshore_agent.service.settings import Settings
from longshore_common.errors import BadInput
from longshore_common.testing.waiting import until


async def test_what_is_removed_is_out_of_sight_at_once_and_off_the_disk_soon_whatever_its_modes(tmp_path):
    room, tree = Room(tmp_path), tmp_path / "tree"
    (tree / "locked").mkdir(parents=True)
    (tree / "locked" / "file").write_text("x")
    (tree / "locked").chmod(0o500)
    room.remove(str(tree), 10)
    assert not tree.exists()
    await until(lambda: not room.going)
    assert os.listdir(tmp_path / "gone") == []
    room.remove(str(tree))  # a repeat does nothing


async def test_what_an_earlier_life_had_no_time_to_remove_goes_at_the_next_start(tmp_path):
    (tmp_path / "gone" / "7" / "deep").mkdir(parents=True)
    room = Room(tmp_path)
    await until(lambda: not os.listdir(tmp_path / "gone"))
    (tmp_path / "next").mkdir()
    room.remove(str(tmp_path / "next"))
    await until(lambda: not room.going and not os.listdir(tmp_path / "gone"))


async def test_a_disk_below_its_floor_costs_kept_directories_the_oldest_first(tmp_path):
    room = Room(tmp_path / "w")
    dirs = WorkDirs(tmp_path / "w" / "attempts", room)
    for k in range(3):
        place = dirs.make(f"a-1.{k}.1")
        with open(f"{place.places.temp}/x", "wb") as file:
            file.write(bytes(100_000))
        dirs.keep(place, f"1.{k}.1", b"{}")
    await until(lambda: len(dirs._sizes) == 3)
    assert dirs.give_up(1) >= 100_000
    assert sorted(os.listdir(tmp_path / "w/kept")) == ["1.1.1", "1.2.1"]
    room.floor = whole(str(tmp_path)) * 2
    assert room.lacking() > 0
    assert os.listdir(tmp_path / "w/kept") == []
    assert 0 < free(str(tmp_path)) <= whole(str(tmp_path))


def test_only_bytes_that_become_free_are_counted(tmp_path):
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "a/deep/own").write_bytes(bytes(8192))
    (tmp_path / "lent").write_bytes(bytes(8192))
    os.link(tmp_path / "lent", tmp_path / "a/lent")
    assert below(str(tmp_path / "a")) == 8192


@pytest.mark.parametrize(
    ("field", "value"),
    [("transfers", 0), ("bandwidth_down", "fast"), ("bandwidth_up", "-1"), ("cache_max", "1X"), ("cache_free", "200%")],
)
def test_a_wrong_setting_is_named(tmp_path, field, value):
    with pytest.raises(BadInput, match=f"LONGSHORE_{field.upper()}"):
        storing.build(Settings(**{field: value}), tmp_path, {})


async def test_settings_become_limits(tmp_path):
    settings = Settings(transfers=3, bandwidth_down="2K", bandwidth_up="1M", cache_free="1K", cache_max="5K")
    stored = storing.build(settings, tmp_path, {})
    limits = stored.stager._limits
    assert (limits.turns._value, limits.down.rate, limits.up.rate) == (3, 2048, 1 << 20)
    assert (stored.room.floor, stored.cache._shelf.most) == (1024, 5120)
    await stored.stager.close()
