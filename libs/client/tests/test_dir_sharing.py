"""Of a content that directories share, whatever they do at the same time: who uses it has it, and with the last it goes."""

import asyncio
import hashlib
from random import Random
from typing import Any

import pytest

from longshore.dir import places
from longshore.dir.contents import Leaf
from longshore.dir.places import Shelf
from longshore_data.meter import Limits
from longshore_data.storage import Storage
from longshore_data.store import Found, Put, StoreError
from longshore_data.uri import Location

CONTENT = b"shared"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Slow:
    """Object storage in a dict: each call takes its time, before it counts and after."""

    def __init__(self, chance: Random) -> None:
        self.chance, self.held = chance, dict[str, bytes]()

    async def _rest(self) -> None:
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0)

    async def listing(self, folder: Location) -> list[Found]:
        await self._rest()
        prefix = folder.key + "/"
        found = [
            Found(key.removeprefix(prefix), len(data)) for key, data in self.held.items() if key.startswith(prefix)
        ]
        await self._rest()
        return found

    async def stat(self, place: Location) -> Found:
        await self._rest()
        if place.key not in self.held:
            raise StoreError(f"{place} is not there", missing=True)
        found = Found(place.name, len(self.held[place.key]))
        await self._rest()
        return found

    async def put(self, path: str, target: Location, meter: Any = None) -> Put:
        await self.put_bytes(CONTENT, target)
        return Put(len(CONTENT), DIGEST)

    async def put_bytes(self, data: bytes, target: Location) -> None:
        await self._rest()
        self.held[target.key] = data
        await self._rest()

    async def drop(self, folder: Location, paths: list[str]) -> None:
        for path in paths:
            await self._rest()
            self.held.pop(folder.below(path).key, None)
        await self._rest()

    async def close(self) -> None:
        pass


async def live(chance: Random, slow: Slow, shelf: Shelf, name: str) -> None:
    """A directory that shares, works for a while with what it was given, and goes; and again."""
    for again in range(3):
        own = places.own("s3://bucket/store/", "ada", f"{name}-{again}")
        place, _ = await shelf.share(own, Leaf("big", "", len(CONTENT)), DIGEST)
        for _ in range(chance.randrange(20)):
            assert slow.held.get(place.key) == CONTENT, f"{name} lost what it uses"
            await asyncio.sleep(0)
        await shelf.remove(own, (DIGEST,))


@pytest.mark.parametrize("seed", range(150))
async def test_who_uses_a_content_has_it(seed: int) -> None:
    chance = Random(seed)
    slow = Slow(chance)
    storage = Storage({}, stores={"s3": slow})
    shelves = [Shelf(storage, Limits(8)) for _ in range(chance.randint(1, 3))]  # each a process of its own
    await asyncio.gather(*(live(chance, slow, chance.choice(shelves), f"d{k}") for k in range(chance.randint(2, 6))))
    assert slow.held == {}


async def test_a_thousand_that_go_are_listed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(Random(0))
    monkeypatch.setattr(slow, "_rest", lambda: asyncio.sleep(0))
    shelf = Shelf(Storage({}, stores={"s3": slow}), Limits(8))
    owns = [places.own("s3://bucket/store/", "ada", f"k{number}") for number in range(1000)]
    for own in owns:
        await shelf.share(own, Leaf("big", "", len(CONTENT)), DIGEST)
    listed: list[str] = []
    listing = slow.listing

    async def counted(folder: Location) -> list[Found]:
        found = await listing(folder)
        listed.extend(one.path for one in found)
        return found

    monkeypatch.setattr(slow, "listing", counted)
    for own in owns:
        await shelf.remove(own, (DIGEST,))
    assert slow.held == {}
    assert len(listed) < 12_000
