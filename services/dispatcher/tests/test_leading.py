"""The service on the log in memory: following, leading, standing by, snapshots, hints and questions."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from longshore_common import events as e
from longshore_common import subjects
from longshore_common.adapters.memory_log import Hub
from longshore_common.errors import Refused
from longshore_common.log import Entry
from longshore_common.model import Array, HostFacts, TaskSpec
from longshore_common.testing.clocks import Stopped
from longshore_dispatcher.service import Dispatcher, Settings

TRUE = TaskSpec(command=("true",))


class Harbour:
    """A log in memory and what happens around it."""

    def __init__(self) -> None:
        self.clock = Stopped(1_000.0)
        self.hub = Hub(self.clock)
        self.user = self.hub.connect("user", "ada")
        self.count = 0

    def write(self, event, name="ada"):
        self.count += 1
        return self.hub.append(Entry(event, name, f"t{self.count}"), 0)

    def submit(self, size=1, key=None):
        return self.write(e.TasksSubmitted(key=key or f"k{self.count}", batch="b", body=Array(spec=TRUE, size=size)))

    def join(self, name="w1", slots=2):
        return self.write(e.WorkerJoined(life=1, facts=HostFacts(), concurrency=slots), name)

    def events(self, kind):
        return [r for r in self.hub.records if isinstance(r.event, kind)]

    async def until(self, true, seconds=5):
        async with asyncio.timeout(seconds):
            while not true():
                await asyncio.sleep(0.001)

    async def moments(self):
        """Let everything that can happen now happen."""
        for _ in range(100):
            await asyncio.sleep(0)

    @asynccontextmanager
    async def dispatcher(self, name="d1", **settings):
        transport = self.hub.connect("dispatch")
        settings = {"beat_every": 0.01, **settings}
        dispatcher = Dispatcher(transport, Settings(name=name, **settings), self.clock)
        stop = asyncio.Event()
        task = asyncio.create_task(dispatcher.run(stop))
        dispatcher.stop = stop
        try:
            yield dispatcher
        finally:
            stop.set()
            async with asyncio.timeout(5):
                await task
            await transport.close()


@pytest.fixture
def harbour():
    return Harbour()


async def test_a_lone_dispatcher_leads_at_once_and_hands_out_work(harbour):
    harbour.join()
    submission = harbour.submit(3)
    async with harbour.dispatcher() as dispatcher:
        await harbour.until(lambda: harbour.events(e.AttemptsAssigned))
        assert dispatcher.leading
        (order,) = harbour.events(e.AttemptsAssigned)[0].event.orders
        assert (order.submission, [s.index for s in order.starts]) == (submission, [0, 1, 2])


async def test_it_does_not_hand_out_a_task_twice_while_its_decision_is_on_the_way(harbour):
    harbour.join(slots=50)
    async with harbour.dispatcher() as dispatcher:
        await harbour.until(lambda: dispatcher.leading)
        for _ in range(40):
            harbour.submit(2)
            await asyncio.sleep(0)
        await harbour.until(lambda: sum(map(starts, harbour.events(e.AttemptsAssigned))) == 80)
        tasks = [
            (o.submission, s.index)
            for r in harbour.events(e.AttemptsAssigned)
            for o in r.event.orders
            for s in o.starts
        ]
        assert len(tasks) == len(set(tasks))


def starts(record):
    return sum(len(order.starts) for order in record.event.orders)


async def test_a_standby_follows_and_takes_over_when_the_leader_falls_silent(harbour):
    async with harbour.dispatcher("d1", beat_every=1000) as first:  # as if it hung
        await harbour.until(lambda: first.leading)
        async with harbour.dispatcher("d2") as second:
            await harbour.until(lambda: second.state.seq == len(harbour.hub.records))
            await harbour.moments()
            assert not second.leading
            harbour.clock.at += 3
            await harbour.until(lambda: second.leading)
            await harbour.until(lambda: not first.leading)
            harbour.join()
            harbour.submit(1)
            await harbour.until(lambda: harbour.events(e.AttemptsAssigned))
            assert len(harbour.events(e.AttemptsAssigned)) == 1


async def test_a_leader_that_stops_hands_over_at_once(harbour):
    async with harbour.dispatcher("d2") as second:
        await harbour.until(lambda: second.leading)
        async with harbour.dispatcher("d3") as third:
            await harbour.moments()
            second.stop.set()
            await harbour.until(lambda: third.leading)


async def test_a_leader_elects_itself_anew_so_that_the_log_can_be_trimmed_behind_it(harbour):
    async with harbour.dispatcher("d1", renew_after=100, lost_after=1000) as dispatcher:
        await harbour.until(lambda: dispatcher.leading)
        harbour.join()
        harbour.submit(1)
        await harbour.until(lambda: harbour.events(e.AttemptsAssigned))
        with capture_logs() as logs:
            harbour.clock.at += 101
            await harbour.until(lambda: len(harbour.events(e.LeaderElected)) == 2)
            harbour.submit(1)
            await harbour.until(lambda: len(harbour.events(e.AttemptsAssigned)) == 2)
        assert dispatcher.leading
        assert not [line for line in logs if line["event"] == "deposed"]
        assert len(harbour.events(e.LeaderElected)) == 2


async def test_a_dispatcher_refuses_a_log_without_its_front_and_names_the_way_out(harbour):
    harbour.submit(1)
    harbour.hub.trimmed = 1
    with pytest.raises(Refused, match=r"longshore-dispatcher restore"):
        await Dispatcher(harbour.hub.connect("dispatch"), Settings()).run(asyncio.Event())


async def test_a_snapshot_says_up_to_where_it_covers_the_log(harbour):
    async with harbour.dispatcher() as dispatcher:
        await harbour.until(lambda: dispatcher.leading)
        harbour.submit(1)
        await harbour.until(lambda: harbour.events(e.SubmissionAccepted))
    covered = int(harbour.hub.buckets["snapshots"][subjects.COVERED])
    assert covered >= harbour.events(e.SubmissionAccepted)[0].seq
    harbour.hub.trimmed = covered
    async with harbour.dispatcher() as dispatcher:
        await harbour.until(lambda: dispatcher.leading)


async def test_a_deposed_leader_appends_nothing_more(harbour):
    async with harbour.dispatcher("d1") as dispatcher:
        await harbour.until(lambda: dispatcher.leading)
        elected = harbour.write(e.LeaderElected(dispatcher="other"), "")
        harbour.join()
        harbour.submit(1)
        await harbour.until(lambda: dispatcher.state.seq >= elected + 2)
        await harbour.moments()
        assert not dispatcher.leading
        assert harbour.events(e.SubmissionAccepted) == []


class Gated:
    """A log whose appends wait at a gate, as when a process is stopped in the middle of one."""

    def __init__(self, log) -> None:
        self._log, self.gate, self.at_gate = log, asyncio.Event(), 0

    async def append_all(self, entries, **how):
        self.at_gate += 1
        await self.gate.wait()
        return await self._log.append_all(entries, **how)

    def __getattr__(self, name):
        return getattr(self._log, name)


async def test_what_was_decided_before_another_election_and_arrives_after_it_is_refused(harbour):
    async with harbour.dispatcher("d1") as dispatcher:
        await harbour.until(lambda: dispatcher.leading)
        gated = dispatcher._transport.log = Gated(dispatcher._transport.log)
        harbour.submit(1)
        await harbour.until(lambda: gated.at_gate)
        harbour.write(e.LeaderElected(dispatcher="other"), "")
        gated.gate.set()
        await harbour.until(lambda: not dispatcher.leading)
        await harbour.moments()
        assert harbour.events(e.SubmissionAccepted) == []


async def test_the_beat_of_an_old_leader_does_not_count(harbour):
    harbour.write(e.LeaderElected(dispatcher="dead"), "")
    harbour.write(e.LeaderElected(dispatcher="dead"), "")
    async with harbour.dispatcher("d1") as dispatcher:
        await harbour.moments()
        assert not dispatcher.leading
        harbour.clock.at += 3
        stale = json.dumps({"name": "dead", "fence": 1}).encode()
        await harbour.user.hints.send(subjects.LEAD_BEAT, stale)
        await harbour.until(lambda: dispatcher.leading)


async def test_it_goes_on_from_its_snapshot(harbour):
    harbour.join()
    submission = harbour.submit(5)
    async with harbour.dispatcher() as dispatcher:
        await harbour.until(lambda: harbour.events(e.AttemptsAssigned))
        await harbour.until(lambda: dispatcher.state.seq == len(harbour.hub.records))
    before = len(harbour.events(e.AttemptsAssigned))
    async with harbour.dispatcher() as dispatcher:
        await harbour.until(lambda: dispatcher.leading)
        assert submission in dispatcher.state.submissions
        harbour.write(e.AttemptsReported(life=1, n=1, ended=(e.Ended(f"{submission}.0.1", "succeeded"),)), "w1")
        await harbour.until(lambda: len(harbour.events(e.AttemptsAssigned)) > before)
        given = [s.index for r in harbour.events(e.AttemptsAssigned) for o in r.event.orders for s in o.starts]
        assert given == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("rubbish", [b"p\xc1\xc1", b"zzz", b"p", b"?"])
async def test_a_damaged_snapshot_is_left_and_the_log_read_from_its_beginning(harbour, rubbish):
    submission = harbour.submit(5)
    harbour.hub.buckets["snapshots"] = {"dispatcher": rubbish}
    async with harbour.dispatcher() as dispatcher:
        await harbour.until(lambda: dispatcher.leading)
        assert submission in dispatcher.state.submissions


async def test_a_worker_that_falls_silent_is_lost_and_its_work_goes_elsewhere(harbour):
    async with harbour.dispatcher(lost_after=15) as dispatcher:
        await harbour.until(lambda: dispatcher.leading)
        harbour.join("w1")
        submission = harbour.submit(1)
        await harbour.until(lambda: harbour.events(e.AttemptsAssigned))
        harbour.clock.at += 10
        await harbour.user.hints.send(subjects.beat("w1"), b"{}")
        await harbour.moments()
        harbour.clock.at += 10
        harbour.join("w2")
        await harbour.until(lambda: dispatcher.state.seq == len(harbour.hub.records))
        await harbour.moments()
        assert harbour.events(e.WorkerLost) == []
        harbour.clock.at += 6
        harbour.submit(1)  # something happens
        await harbour.until(lambda: harbour.events(e.WorkerLost))
        assert harbour.events(e.WorkerLost)[0].subject == "log.dispatch.w1.signal"
        await harbour.until(lambda: f"{submission}.0.2" in dispatcher.state.load("w2").attempts)


async def test_who_waits_is_told_how_far_a_submission_is(harbour):
    heard = []

    async def listen():
        async for subject, body in harbour.user.hints.listen("done.ada.>"):
            heard.append((subject, json.loads(body)))

    listening = asyncio.create_task(listen())
    async with harbour.dispatcher() as dispatcher:
        await harbour.until(lambda: dispatcher.leading)
        harbour.join()
        submission = harbour.submit(2)
        await harbour.until(lambda: harbour.events(e.AttemptsAssigned))
        ended = tuple(e.Ended(f"{submission}.{k}.1", "succeeded") for k in range(2))
        seq = harbour.write(e.AttemptsReported(life=1, n=1, ended=ended), "w1")
        await harbour.until(lambda: any(m["states"] for _, m in heard))
    listening.cancel()
    subject, last = heard[-1]
    assert subject == f"done.ada.{submission}"
    assert (last["submission"], last["size"], last["states"], last["seq"]) == (submission, 2, {"succeeded": 2}, seq)
    assert heard[0][1]["status"] == "accepted"


async def test_any_dispatcher_explains(harbour):
    async with harbour.dispatcher():
        submission = harbour.submit(1)
        await harbour.until(lambda: harbour.events(e.SubmissionAccepted))
        question = {"id": f"{submission}.0", "kind": "task", "user": "ada"}
        for _ in range(200):
            answer = json.loads(
                await harbour.user.hints.ask(subjects.ASK_DISPATCH, json.dumps(question).encode(), deadline=1)
            )
            if answer["state"] == "queued" and "no workers" in answer["reasons"][0]["text"]:
                break
            await asyncio.sleep(0.005)
        else:
            raise AssertionError(answer)
        for bad in (b"?", b'{"id":"x.y","kind":"task"}', b'{"id":"1","kind":"cow"}'):
            answer = json.loads(await harbour.user.hints.ask(subjects.ASK_DISPATCH, bad, deadline=1))
            assert answer["state"] == "unknown"
            assert answer["reasons"]


async def test_rubbish_on_the_log_does_not_stop_it(harbour):
    async with harbour.dispatcher() as dispatcher:
        await harbour.until(lambda: dispatcher.leading)
        harbour.hub.record("log.user.ada.wish", b"{not json")
        harbour.hub.record("log.worker.w1.report", b"\xff\xfe")
        harbour.hub.record("log.dispatch.lead", b"rubbish")
        submission = harbour.submit(1)
        await harbour.until(lambda: submission in dispatcher.state.submissions)
        await harbour.until(lambda: any(r.event.submission == submission for r in harbour.events(e.SubmissionAccepted)))
        assert len(harbour.events(e.SubmissionRejected)) == 1


async def test_a_submission_is_one_line_in_the_log_of_its_leader_with_the_trace_of_its_submitter(harbour):
    with capture_logs() as lines:
        async with harbour.dispatcher() as dispatcher:
            await harbour.until(lambda: dispatcher.leading)
            event = e.TasksSubmitted(key="traced", batch="b", body=Array(spec=TRUE, size=3))
            seq = harbour.hub.append(Entry(event, "ada", "traced", f"00-{'a' * 32}-{'b' * 16}-01"), 0)
            await harbour.until(lambda: dispatcher.state.seq >= seq)
            await harbour.moments()
    told = [line for line in lines if line["event"] == "submitted"]
    assert told == [
        {"event": "submitted", "log_level": "info", "submission": seq, "user": "ada", "trace": "a" * 32},
    ]


@pytest.mark.parametrize("seconds", [86_400, -86_400])
async def test_a_clock_that_is_set_makes_nobody_silent_and_hides_nobody_s_silence(harbour, seconds):
    async with harbour.dispatcher("d1") as first:
        await harbour.until(lambda: first.leading)
        async with harbour.dispatcher("d2", lead_after=100) as second:
            harbour.clock.at += 60  # who leads hears all from its election on
            harbour.join()
            await harbour.until(lambda: second.state.seq == first.state.seq == len(harbour.hub.records))
            harbour.clock.set_ahead = seconds
            harbour.submit()
            await harbour.until(lambda: harbour.events(e.AttemptsAssigned))
            await harbour.moments()
            assert not harbour.events(e.WorkerLost)
            assert first.leading
            assert not second.leading
            harbour.clock.at += 20
            harbour.submit()  # it looks at the clock
            await harbour.until(lambda: harbour.events(e.WorkerLost))
