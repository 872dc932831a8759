"""The transport between nodes: the memory log behind a network that delays, loses replies, and drops or doubles hints.

Faults are those that the ports allow: an append that says `Unreachable` is in or not, or in part; a hint may be lost, late or
twice; a follower may be behind, and cut off. What must not enter: what a port promises away.
"""

import asyncio
from collections import deque

from longshore_common import subjects
from longshore_common.adapters.memory_log import (
    SLICE_RECORDS,
    Bell,
    Hub,
    MemoryBlobs,
    MemoryHints,
    MemoryLog,
    MemoryTransport,
    matches,
)
from longshore_common.errors import Conflict, Unreachable
from longshore_common.log import Slice

from .weather import Weather


class Wire(MemoryTransport):
    """One node's connection. Once cut, nothing of this node has any effect any more: it was killed."""

    def __init__(self, hub: Hub, weather: Weather, role: str, name: str) -> None:
        super().__init__(hub=hub, role=role, name=name)
        self.weather = weather
        self.log = WireLog(self)
        self.hints = WireHints(self)
        self.blobs = WireBlobs(self)

    def cut(self) -> None:
        """The process is gone."""
        self.closed = True
        self.hub.listeners[:] = [x for x in self.hub.listeners if x not in self.hints.listening]
        self.hints.stop()

    async def travel(self) -> None:
        """A message goes from here to there, or from there to here."""
        self.check()
        await asyncio.sleep(self.weather.delay())
        self.check()


class WireLog(MemoryLog):
    """`Log` with weather."""

    async def append_all(self, entries, *, fence=0, deadline=10):
        wire, weather, seq = self._transport, self._transport.weather, 0
        await wire.travel()
        for entry in entries:
            if weather.chance(weather.lose_before):
                raise Unreachable("the log does not answer (nothing more was written)")
            seq = self._hub.append(entry, fence)
            if weather.chance(0.1):
                await wire.travel()
        if weather.chance(weather.lose_reply):
            await asyncio.sleep(weather.dice.random() * 3)
            raise Unreachable("the log does not answer (it is written)")
        await wire.travel()
        return seq

    async def last(self):
        await self._transport.travel()
        if self._transport.weather.chance(self._transport.weather.lose_before):
            raise Unreachable("the log does not answer")
        return await super().last()

    async def _read(self, position, pattern):
        wire, weather = self._transport, self._transport.weather
        everything = pattern == subjects.ALL
        if position > len(self._hub.records):
            raise Conflict(f"the log ends at {len(self._hub.records)} but was read up to {position}")
        while not wire.closed:
            if position >= len(self._hub.records):
                await self._hub.bell.heard()
            await asyncio.sleep(weather.delay())
            if weather.chance(weather.lose_before / 4):
                raise Unreachable("the connection broke")
            found = self._hub.visible(
                position, weather.dice.choice((1, 3, SLICE_RECORDS)) if weather.storm else SLICE_RECORDS
            )
            if not found or wire.closed:
                continue
            position = found[-1].seq
            mine = found if everything else [r for r in found if matches(pattern, r.subject)]
            if mine:
                yield Slice(mine, 0)


class WireHints(MemoryHints):
    """`Hints` that may be lost, late, or come twice."""

    def __init__(self, transport: Wire) -> None:
        super().__init__(transport)
        self.listening = []

    async def send(self, subject, body):
        wire, loop = self._transport, asyncio.get_running_loop()
        weather = wire.weather
        if wire.closed:
            return
        for listener in self._hub.listeners:
            if matches(listener[0], subject) and not weather.chance(weather.drop_hint):
                for _ in range(2 if weather.chance(weather.double_hint) else 1):
                    loop.call_later(weather.hint_delay(), self._arrive, listener, subject, body)

    def _arrive(self, listener, subject, body):
        if listener in self._hub.listeners:
            listener[1](subject, body)

    async def listen(self, subject):
        heard, bell = deque(), Bell()

        def take(subject, body):
            heard.append((subject, body))
            bell.ring()

        listener = (subject, take)
        self._hub.listeners.append(listener)
        self.listening.append(listener)
        while not self._transport.closed:
            while heard:
                yield heard.popleft()
            await bell.heard()


class WireBlobs(MemoryBlobs):
    """`Blobs` with weather."""

    async def put(self, bucket, name, data):
        await self._transport.travel()
        await super().put(bucket, name, data)
        await self._transport.travel()

    async def get(self, bucket, name):
        await self._transport.travel()
        return await super().get(bucket, name)
