"""Counting and limiting, in virtual time: nobody here looks at a clock."""

import asyncio
from threading import Event, Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore_data.meter import Bandwidth, Limits, Meter


class Clock:
    """Steady seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def run(rate: float, pieces: list[int], seconds: float) -> list[int]:
    """Bytes that transfers of these piece sizes have moved after so long, each resting as it is told, in virtual time."""
    clock = Clock()
    bandwidth = Bandwidth(rate, clock)
    meters = [Meter(bandwidth, clock) for _ in pieces]
    shares = [iter(()) for _ in pieces]  # type: ignore[var-annotated]
    wake = [clock.now for _ in pieces]
    taken = [0 for _ in pieces]
    end = clock.now + seconds
    while (at := min(wake)) < end:
        who = wake.index(at)
        clock.now = at
        part = next(shares[who], None)
        if part is None:
            shares[who] = iter(meters[who]._count(pieces[who]))
            part = next(shares[who])
        taken[who] += part
        wake[who] = at + bandwidth.take(part) + 1e-9
    return taken


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1 << 18, 64 << 20), min_size=1, max_size=20), st.integers(1 << 22, 1 << 25))
def test_transfers_share_a_line_alike_whatever_the_size_of_their_pieces(pieces: list[int], rate: int) -> None:
    seconds, share = 20, 1 << 18
    taken = run(rate, pieces, seconds)
    assert rate * seconds <= sum(taken) <= rate * (seconds + 1) + len(pieces) * share
    assert max(taken) - min(taken) <= max(taken) / 2 + 2 * share  # the last part of each piece may be a small one


def test_a_line_that_was_idle_gives_one_second_s_worth_at_once_and_no_more() -> None:
    clock = Clock()
    line = Bandwidth(1000, clock)
    assert line.take(1000) == 0
    assert line.take(500) == pytest.approx(0.5)
    clock.now += 1000
    assert line.take(1000) == 0
    assert line.take(1000) == pytest.approx(1.0)
    assert Bandwidth(0, clock).take(10**12) == 0


def test_threads_lose_no_byte_of_the_count() -> None:
    meter, stop = Meter(Bandwidth(0)), Event()
    threads = [Thread(target=lambda: [meter.moved_here(1, stop) for _ in range(20_000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.done == 160_000


def test_a_rest_in_a_thread_ends_when_it_is_stopped() -> None:
    meter, stop = Meter(Bandwidth(1000)), Event()
    thread = Thread(target=lambda: meter.moved_here(10**9, stop))
    thread.start()
    stop.set()
    thread.join(1)
    assert not thread.is_alive()


async def test_a_rest_of_a_task_ends_when_it_is_cancelled() -> None:
    meter = Meter(Bandwidth(1000))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await meter.moved(10**9)


def test_rate_and_time_to_go_are_those_of_the_last_ten_seconds() -> None:
    clock = Clock()
    meter, stop = Meter(None, clock), Event()
    meter.expect(20_000)
    assert meter.progress() == (0, 20_000, 0, 0)
    for _ in range(100):  # a slow start
        clock.now += 1
        meter.moved_here(10, stop)
    assert meter.progress().rate == pytest.approx(10)
    for _ in range(12):
        clock.now += 1
        meter.moved_here(1000, stop)
    seen = meter.progress()
    assert seen.rate == pytest.approx(1000, rel=0.1)
    assert seen.eta == pytest.approx(7, rel=0.1)
    clock.now += 60  # nothing comes
    assert meter.progress().rate < 20
    clock.now += 1
    assert meter.progress().rate == 0
    assert meter.progress().eta == 0


def test_bytes_that_have_to_go_again_are_taken_back() -> None:
    meter, stop = Meter(Bandwidth(10**9)), Event()
    meter.moved_here(500, stop)
    meter.moved_here(-500, stop)
    assert meter.done == 0


async def test_a_transfer_idles_only_while_it_waits_for_its_turn_and_does_nothing_else() -> None:
    limits, seen = Limits(turns=1), []
    one, two = Meter(), Meter()
    two.on_idle = seen.append
    async with limits.turn(one):

        async def late() -> None:
            async with limits.turn(two):
                assert seen == [True, False]

        waiting = asyncio.ensure_future(late())
        while not seen:
            await asyncio.sleep(0)
        assert seen == [True]
    await waiting
    assert seen == [True, False]
