"""What `Log.append` and `append_all` promise."""

import asyncio

import pytest

from longshore_common.errors import BadInput, Deposed, Unreachable
from longshore_common.events import LeaderElected, TasksSubmitted
from longshore_common.log import Entry, Malformed
from longshore_common.model import Specs, TaskSpec

from .vocabulary import elected, everything, recalled, reported, submitted, take


async def test_an_event_gets_the_next_sequence_and_is_read_back_whole(world):
    ann = await world.connect("user", "ann")
    entry = submitted("u1", command=("echo", "ü \x00 \n"))._replace(
        traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    )
    assert await ann.log.append(entry) == 1
    (record,) = await everything(await world.connect("dispatch"))
    assert record.event == entry.event
    assert (record.seq, record.id, record.traceparent) == (1, "u1", entry.traceparent)
    assert record.author == ("user", "ann")
    assert record.subject == "log.user.ann.wish"
    assert record.at > 1_700_000_000


async def test_a_repeat_with_the_same_id_answers_with_the_first_ones_sequence(world):
    ann, bob = await world.connect("user", "ann"), await world.connect("user", "bob")
    assert await ann.log.append(submitted("u1")) == 1
    assert await bob.log.append(submitted("u2", user="bob")) == 2
    assert await ann.log.append(submitted("u1")) == 1
    assert len(await everything(await world.connect("api"))) == 2


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 1000, 1001, 2500])
async def test_many_are_in_in_their_order_when_append_all_returns(world, count):
    w1 = await world.worker("w1")
    entries = [reported(n) for n in range(count)]
    assert await w1.log.append_all(entries, deadline=60) == count
    assert [r.event for r in await everything(await world.connect("dispatch"))] == [e.event for e in entries]


async def test_appending_nothing_writes_nothing(world):
    w1 = await world.worker("w1")
    assert await w1.log.append_all([]) == 0


@pytest.mark.parametrize("count", [5, 40])
async def test_of_many_only_those_are_added_that_are_not_in_yet(world, count):
    w1 = await world.worker("w1")
    entries = [reported(n) for n in range(count)]
    await w1.log.append_all(entries[: count // 2])
    last = await w1.log.append_all(entries)
    assert last == count
    assert [r.event for r in await everything(await world.connect("dispatch"))] == [e.event for e in entries]


@pytest.mark.parametrize("count", [1, 5, 40])
async def test_a_repeat_of_many_answers_with_the_same_last_sequence(world, count):
    one = await world.connect("dispatch")
    fence = await one.log.append(elected("one"))
    entries = [recalled(f"r{n}") for n in range(count)]
    last = await one.log.append_all(entries, fence=fence)
    assert await one.log.append_all(entries, fence=fence) == last
    assert await one.log.last() == last


async def test_a_leader_appends_as_long_as_no_other_is_elected(world):
    one = await world.connect("dispatch")
    fence = await one.log.append(elected("one"))
    assert await one.log.append(recalled("r1"), fence=fence) == fence + 1
    assert await one.log.append_all([recalled(f"s{n}") for n in range(30)], fence=fence) == fence + 31


@pytest.mark.parametrize("count", [1, 5, 40])
async def test_a_deposed_leader_writes_nothing(world, count):
    one, two = await world.connect("dispatch"), await world.connect("dispatch")
    old = await one.log.append(elected("one"))
    new = await two.log.append(elected("two"))
    with pytest.raises(Deposed):
        await one.log.append_all([recalled(f"r{n}") for n in range(count)], fence=old)
    assert await one.log.last() == new
    assert await two.log.append(recalled("mine"), fence=new) == new + 1


@pytest.mark.parametrize("count", [1, 5, 40])
async def test_what_was_in_before_the_deposition_is_success_when_repeated(world, count):
    one, two = await world.connect("dispatch"), await world.connect("dispatch")
    old = await one.log.append(elected("one"))
    entries = [recalled(f"r{n}") for n in range(count)]
    last = await one.log.append_all(entries, fence=old)
    await two.log.append(elected("two"))
    assert await one.log.append_all(entries, fence=old) == last


async def test_a_deposed_leader_is_deposed_even_if_some_of_many_were_in(world):
    one, two = await world.connect("dispatch"), await world.connect("dispatch")
    old = await one.log.append(elected("one"))
    await one.log.append(recalled("r0"), fence=old)
    new = await two.log.append(elected("two"))
    with pytest.raises(Deposed):
        await one.log.append_all([recalled("r0"), recalled("r1")], fence=old)
    assert await one.log.last() == new


async def test_of_two_candidates_who_saw_the_same_leader_one_wins(world):
    one, two = await world.connect("dispatch"), await world.connect("dispatch")
    old = await one.log.append(elected("zero"))
    outcomes = await asyncio.gather(
        one.log.append(elected("one"), fence=old), two.log.append(elected("two"), fence=old), return_exceptions=True
    )
    assert sorted(type(o) for o in outcomes if isinstance(o, Exception)) == [Deposed]
    elections = [r for r in await everything(one) if isinstance(r.event, LeaderElected)]
    assert len(elections) == 2


async def test_a_repeated_election_is_no_deposition_of_oneself(world):
    one = await world.connect("dispatch")
    old = await one.log.append(elected("zero"))
    mine = await one.log.append(elected("one"), fence=old)
    assert await one.log.append(elected("one"), fence=old) == mine


@pytest.mark.parametrize("count", [1, 40])
async def test_rubbish_on_the_leaders_subject_deposes_nobody(world, count):
    one = await world.connect("dispatch")
    fence = await one.log.append(elected("one"))
    await world.record("log.dispatch.lead", b'{"stream":"LOG","seq":1}')
    last = await one.log.append_all([recalled(f"r{n}") for n in range(count)], fence=fence)
    assert last == fence + 1 + count
    assert await one.log.append(recalled("again"), fence=fence) == last + 1
    await (await world.connect("dispatch")).log.append(elected("two"))
    with pytest.raises(Deposed):
        await one.log.append(recalled("late"), fence=fence)


async def test_a_large_event_that_compresses_well_is_one_message(world):
    ann = await world.connect("user", "ann")
    specs = tuple(TaskSpec(command=("tool", "--sample", str(n))) for n in range(100_000))
    entry = Entry(TasksSubmitted(key="k", batch="b", body=Specs(specs=specs)), "ann", "big")
    await ann.log.append(entry)
    (record,) = await everything(await world.connect("dispatch"))
    assert record.event == entry.event


async def test_an_event_too_large_for_a_message_is_bad_input_that_names_the_limit(world):
    ann = await world.connect("user", "ann")
    noise = "".join(chr(0x4E00 + (n * 7919 + n * n) % 20_000) for n in range(6_000_000))
    with pytest.raises(BadInput, match="4,194,304"):
        await ann.log.append(submitted("u1", command=("echo", noise)))
    assert await ann.log.append(submitted("u2")) == 1


async def test_after_close_appending_says_unreachable(world):
    ann = await world.connect("user", "ann")
    await ann.close()
    with pytest.raises(Unreachable):
        await ann.log.append(submitted("u1"), deadline=1)


async def test_events_of_one_subject_keep_the_order_in_which_one_writer_appended_them_concurrently(world):
    w1 = await world.worker("w1")
    await asyncio.gather(*[w1.log.append(reported(n)) for n in range(200)])
    assert [r.event.n for r in await everything(await world.connect("api"))] == list(range(200))


async def test_bytes_that_are_no_event_are_shown_in_their_place(world):
    bad = {
        "log.worker.w1.report": b'{"type":"attempts-reported","life":1,"n":1,"surprise":1}',
        "log.worker.w1.life": b"\xff\xfe not json",
        "log.user.ann.wish": b'{"type":"no-such-event"}',
        "log.dispatch.verdict": b'{"type":"attempts-reported","life":1,"n":1}',
    }
    for subject, body in bad.items():
        await world.record(subject, body)
    records = await take((await world.connect("dispatch")).log.follow(0), 4)
    assert [r.subject for r in records] == list(bad)
    assert all(isinstance(r.event, Malformed) for r in records)
    assert "surprise" in records[0].event.reason
    assert "not json" in records[1].event.reason
    assert "no-such-event" in records[2].event.reason
    assert "not its author" in records[3].event.reason
    assert records[0].author == ("worker", "w1")
