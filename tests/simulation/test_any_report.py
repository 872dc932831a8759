"""Whatever an agent reports, sane or not, the dispatcher takes it in, decides and explains; damage is told as damage."""

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longshore_common import codec, subjects
from longshore_common import events as e
from longshore_common.errors import Unreadable
from longshore_common.model import Array, HostFacts, Output, OutputFile, TaskSpec, Usage
from longshore_common.testing.tape import Tape
from longshore_dispatcher.core import snapshot
from longshore_dispatcher.core.decide import decide
from longshore_dispatcher.core.evolve import evolve
from longshore_dispatcher.core.explain import explain
from longshore_dispatcher.core.state import State

SIZE = 3
_big = st.integers(-(2**63), 2**63 - 1)
_text = st.text(max_size=12)
_instant = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.just(0.0))
#: Often an attempt that exists, sometimes one that cannot.
_attempt = st.one_of(
    st.builds(lambda i, n: f"{{sub}}.{i}.{n}", st.integers(0, SIZE), st.integers(0, 3)),
    st.sampled_from(
        ["", "x", "1", "1.2", "1.2.3.4", "-1.0.1", "1.-1.1", "9999999999999999999999.0.1", "1.0.x", "٣.0.1"]
    ),
    _text,
)
_output = st.one_of(st.none(), st.builds(Output, _big, _text, st.booleans(), _text, _text))
_usage = st.builds(
    Usage,
    _instant,
    _instant,
    _instant,
    _instant,
    _big,
    st.floats(allow_nan=False, allow_infinity=False),
    _big,
    _big,
    _big,
    _big,
)
_files = st.lists(st.builds(OutputFile, _text, _big, _text), max_size=2).map(tuple)
_cause = st.sampled_from([None, "exit", "oom", "host", "evicted", "stage-in", "operator", "rejected"])
_move = st.builds(
    e.Move, _attempt, st.sampled_from(["assigned", "staging", "running", "delivering", "succeeded", "lost"]),
    st.floats(allow_nan=False, allow_infinity=False), st.booleans(), _text, _big, _big,
)  # fmt: skip
_ended = st.builds(
    e.Ended, _attempt, st.sampled_from(["succeeded", "failed", "cancelled", "recalled"]), st.one_of(st.none(), _big),
    _cause, _text, _usage, _output, _output, _big, _text, st.booleans(), st.booleans(),
)  # fmt: skip
_report = st.builds(
    e.AttemptsReported, life=_big, n=_big, moved=st.lists(_move, max_size=3).map(tuple),
    delivered=st.lists(st.builds(e.Delivered, _attempt, _files), max_size=2).map(tuple),
    ended=st.lists(_ended, max_size=3).map(tuple),
)  # fmt: skip


def meant(event: e.AttemptsReported, submission: int) -> e.AttemptsReported:
    """The report as it comes off the wire, about this submission."""
    text = msgspec.json.encode(event).replace(b"{sub}", str(submission).encode())
    return msgspec.json.decode(text, type=e.AttemptsReported)


class Pier:
    """A leader with a worker that runs an array of tasks."""

    def __init__(self) -> None:
        self.tape, self.state, self.folded = Tape(), State(), 0
        self.tape.add(e.LeaderElected(dispatcher="d1"), "")
        self.tape.add(e.WorkerEnrolled(worker="w1", public_key="U"), "")
        self.tape.add(e.WorkerJoined(life=1, facts=HostFacts(cpus=2, memory=1 << 30), concurrency=2), "w1")
        spec = TaskSpec(command=("true",), memory=1 << 20, output="file:///o/{index}", retries=1)
        body = Array(spec=spec, size=SIZE)
        self.submission = self.tape.add(e.TasksSubmitted(key="k", batch="b", body=body), "ada").seq
        self.turn()
        self.turn()

    def turn(self) -> None:
        for record in self.tape.records[self.folded :]:
            evolve(self.state, record)
        self.folded = len(self.tape.records)
        for event, name in decide(self.state, self.tape.records[-1].at + 1):
            self.tape.add(event, name)


@given(st.lists(_report, min_size=1, max_size=4), st.sampled_from(["w1", "w2"]))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_report_is_taken_in_and_the_state_stays_whole(reports, worker):
    pier = Pier()
    for report in reports:
        pier.tape.add(meant(report, pier.submission), worker)
        pier.turn()
    pier.turn()
    for index in range(SIZE):
        assert explain(pier.state, f"{pier.submission}.{index}", "task", pier.state.at).id
    image = snapshot.to_bytes(pier.state)
    assert snapshot.to_bytes(snapshot.from_bytes(image)) == image


@given(_report, st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_report_is_unreadable_or_still_a_report(report, data):
    body, headers = codec.encode(meant(report, 7))
    damaged = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        _, found = codec.decode(subjects.worker("w1", "report"), bytes(damaged), headers)
    except Unreadable:
        return
    assert isinstance(found, e.Event)
