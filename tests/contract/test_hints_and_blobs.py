"""What `Hints` and `Blobs` promise."""

import asyncio

import pytest

from longshore_common.errors import Unreachable

from .vocabulary import reported


async def heard(listening, count):
    found = []
    async with asyncio.timeout(10):
        async for hint in listening:
            found.append(hint)
            if len(found) == count:
                break
    await listening.aclose()
    return found


async def test_a_listener_hears_what_is_sent_after_it_began(world):
    w1, dispatch = await world.worker("w1"), await world.connect("dispatch")
    await w1.hints.send("beat.w1", b"before")
    await w1.log.append(reported(1))  # the server has taken the hint when it acknowledges what came after it
    listening = asyncio.create_task(heard(dispatch.hints.listen("beat.*"), 2))
    await asyncio.sleep(0.1)
    await w1.hints.send("beat.w1", b"1")
    await w1.hints.send("beat.w1", b"2")
    assert await listening == [("beat.w1", b"1"), ("beat.w1", b"2")]


async def test_every_listener_hears_each_hint(world):
    ann, also_ann = await world.connect("user", "ann"), await world.connect("user", "ann")
    dispatch = await world.connect("dispatch")
    listening = [asyncio.create_task(heard(t.hints.listen("done.ann.>"), 1)) for t in (ann, also_ann)]
    await asyncio.sleep(0.1)
    await dispatch.hints.send("done.ann.17", b"{}")
    assert [await each for each in listening] == [[("done.ann.17", b"{}")]] * 2


async def test_a_question_is_answered(world):
    w1, api = await world.worker("w1"), await world.connect("api")

    async def answer(question):
        return b"you said " + question

    await w1.hints.answer("ask.w1.output", answer)
    await asyncio.sleep(0.05)
    answers = await asyncio.gather(*[api.hints.ask("ask.w1.output", b"%d" % n, deadline=5) for n in range(50)])
    assert answers == [b"you said %d" % n for n in range(50)]


async def test_a_question_to_nobody_is_unreachable_at_once(world):
    api = await world.connect("api")
    async with asyncio.timeout(1):
        with pytest.raises(Unreachable, match="nobody"):
            await api.hints.ask("ask.w1.output", b"", deadline=30)


async def test_a_question_that_is_not_answered_in_time_is_unreachable(world):
    w1, api = await world.worker("w1"), await world.connect("api")

    async def never(question):
        await asyncio.Event().wait()
        return question

    await w1.hints.answer("ask.w1.output", never)
    await asyncio.sleep(0.05)
    with pytest.raises(Unreachable):
        await api.hints.ask("ask.w1.output", b"", deadline=0.1)


async def test_an_answer_that_fails_does_not_end_the_answering(world):
    w1, api = await world.worker("w1"), await world.connect("api")

    async def answer(question):
        return b"%d" % (10 // len(question))

    await w1.hints.answer("ask.w1.output", answer)
    await asyncio.sleep(0.05)
    with pytest.raises(Unreachable):
        await api.hints.ask("ask.w1.output", b"", deadline=0.2)
    assert await api.hints.ask("ask.w1.output", b"12345", deadline=5) == b"2"


async def test_of_those_who_share_a_subject_one_answers_each_question(world):
    ann = await world.connect("user", "ann")
    asked = []
    for _ in range(3):
        dispatch = await world.connect("dispatch")

        async def answer(question):
            asked.append(question)
            return question

        await dispatch.hints.answer("ask.dispatch.explain", answer, shared=True)
    await asyncio.sleep(0.05)
    for n in range(20):
        assert await ann.hints.ask("ask.dispatch.explain", b"%d" % n, deadline=5) == b"%d" % n
    assert asked == [b"%d" % n for n in range(20)]


@pytest.mark.parametrize("size", [0, 1, 512 * 1024, 512 * 1024 + 1, 9_000_000])
async def test_bytes_come_back_as_they_were_put(world, size):
    w1, api = await world.worker("w1"), await world.connect("api")
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    await w1.blobs.put("out-w1", "1.0.1.stdout.gz", data)
    assert await w1.blobs.get("out-w1", "1.0.1.stdout.gz") == data
    assert await api.blobs.get("out-w1", "1.0.1.stdout.gz") == data


async def test_putting_again_replaces(world):
    dispatch = await world.connect("dispatch")
    await dispatch.blobs.put("snapshots", "dispatcher", b"old" * 300_000)
    await dispatch.blobs.put("snapshots", "dispatcher", b"new")
    await dispatch.blobs.put("snapshots", "other/ü", b"other")
    assert await dispatch.blobs.get("snapshots", "dispatcher") == b"new"
    assert await dispatch.blobs.get("snapshots", "other/ü") == b"other"


async def test_there_is_nothing_under_an_unknown_or_deleted_name(world):
    dispatch = await world.connect("dispatch")
    assert await dispatch.blobs.get("snapshots", "never") is None
    await dispatch.blobs.delete("snapshots", "never")
    await dispatch.blobs.put("snapshots", "gone", b"x")
    await dispatch.blobs.delete("snapshots", "gone")
    await dispatch.blobs.delete("snapshots", "gone")
    assert await dispatch.blobs.get("snapshots", "gone") is None
    await dispatch.blobs.put("snapshots", "gone", b"back")
    assert await dispatch.blobs.get("snapshots", "gone") == b"back"
