"""Demand as retained hints: what the leader says, what the next one takes back, and what an emptied store gets again."""

import msgspec
import pytest

from longshore_common import events as e
from longshore_common import subjects
from longshore_common.adapters.memory_log import MemoryTransport
from longshore_common.demand import BatchDemand, Leader
from longshore_common.errors import LongshoreError, Refused, Unreachable
from longshore_common.ids import SubmissionId, TaskRange
from longshore_common.model import Array, TaskSpec
from longshore_common.testing.clocks import Stopped
from longshore_common.testing.tape import Tape
from longshore_dispatcher.adapters import demanding
from longshore_dispatcher.core.evolve import evolve
from longshore_dispatcher.core.state import State


class Counting:
    """A store that counts what is written, and can be away."""

    def __init__(self, retained):
        self.retained, self.written = retained, 0
        self.away: LongshoreError | None = None

    async def keep(self, values, *, deadline=10):
        if self.away is not None:
            raise self.away
        self.written += len(values)
        await self.retained.keep(values)

    async def subjects(self, *, deadline=10):
        if self.away is not None:
            raise self.away
        return await self.retained.subjects()


@pytest.fixture
def quay():
    class Quay:
        def __init__(self):
            self.tape, self.state, self.clock = Tape(), State(), Stopped(1_000.0)
            self.transport = MemoryTransport()
            self.store = Counting(self.transport.retained)
            self.teller = self.new("d1")

        def new(self, name):
            return demanding.Teller(self.store, self.clock, name)

        def given(self, event, name=""):
            record = self.tape.add(event, name)
            evolve(self.state, record)
            return record.seq

        def submits(self, size, batch="b"):
            body = Array(spec=TaskSpec(command=("x",)), size=size)
            sub = self.given(e.TasksSubmitted(key=batch, batch=batch, body=body), "a")
            self.given(e.SubmissionAccepted(submission=sub, size=size))
            return sub

        @property
        def kept(self):
            found = {}
            for subject, body in self.transport.hub.retained.items():
                if subject == subjects.DEMAND_LEADER:
                    found["leader"] = msgspec.json.decode(body, type=Leader).fence
                else:
                    told = msgspec.json.decode(body, type=BatchDemand)
                    found[told.batch] = told.tasks
            return found

    return Quay()


async def test_the_leader_says_what_waits_and_whose_word_it_is(quay):
    quay.submits(5)
    await quay.teller.tell(quay.state, 7)
    assert quay.kept == {"leader": 7, "b": 5}


async def test_only_what_changed_is_said_again_and_what_waits_no_more_is_removed(quay):
    quay.submits(5, "b")
    sub = quay.submits(6, "c")
    await quay.teller.tell(quay.state, 7)
    before = quay.store.written
    await quay.teller.tell(quay.state, 7)
    assert quay.store.written == before, "nothing happened"
    quay.given(e.TasksCancelled(tasks=(TaskRange(SubmissionId(sub), 0, 5),)))
    await quay.teller.tell(quay.state, 7)
    assert quay.kept == {"leader": 7, "b": 5}
    assert quay.store.written == before + 1


async def test_a_new_leader_says_all_anew_and_takes_back_what_the_last_one_left(quay):
    quay.submits(5)
    await quay.transport.retained.keep({subjects.demand("gone"): b'{"batch":"gone","waiting":[]}'})
    await quay.teller.tell(quay.state, 7)
    assert quay.kept == {"leader": 7, "b": 5}
    other = quay.new("d2")
    await other.tell(quay.state, 9)
    assert quay.kept == {"leader": 9, "b": 5}
    assert msgspec.json.decode(quay.transport.hub.retained[subjects.demand("b")])["leader"] == 9


async def test_an_emptied_store_gets_all_of_it_again_after_a_while(quay):
    quay.submits(5)
    await quay.teller.tell(quay.state, 7)
    quay.transport.hub.retained.clear()
    quay.clock.at += demanding.AGAIN + 1
    await quay.teller.tell(quay.state, 7)
    assert quay.kept == {"leader": 7, "b": 5}


@pytest.mark.parametrize("trouble", [Unreachable("away"), Refused("these credentials do not allow it")])
async def test_what_could_not_be_said_is_said_once_it_can_be(quay, trouble):
    quay.store.away = trouble
    quay.submits(5)
    await quay.teller.tell(quay.state, 7)
    assert quay.kept == {}
    quay.store.away = None
    await quay.teller.tell(quay.state, 7)
    assert quay.kept == {"leader": 7, "b": 5}
