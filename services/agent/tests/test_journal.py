"""The journal: what was written is there again, whatever the crash; and what does not fit is not half in."""

import os
import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore_agent.adapters import journal as j
from longshore_agent.service import memory
from longshore_common import events as e
from longshore_common.model import OutputFile, TaskSpec


def order(submission=7, count=3, **fields):
    spec = TaskSpec(command=("true",), **fields)
    starts = tuple(e.Start(k, 1, k) for k in range(count))
    return e.Order(submission=submission, spec=spec, batch="b", user="u", starts=starts)


def heard(seq, *events):
    return j.Heard(tuple(range(seq, seq + len(events))), events, 1.0)


def ended(name, outcome="succeeded"):
    return e.Ended(name, outcome, 0)


def report(n, *ends, life=1, delivered=()):
    return j.Reported(e.AttemptsReported(life=life, n=n, ended=ends, delivered=delivered))


@pytest.fixture
def opened(tmp_path):
    journal = j.Journal(tmp_path / "journal")
    journal.open()
    yield journal
    journal.abandon()


def again(journal):
    """What the next life reads."""
    journal.abandon()
    return journal.open()


def test_what_was_written_is_read_in_order(opened):
    written = [j.Lived(1), heard(5, e.AttemptsAssigned(orders=(order(),))), report(1, ended("7.0.1")), j.Sent(1, 1)]
    for record in written:
        opened.write(record)
    assert again(opened) == written


@given(cut=st.integers(min_value=0, max_value=400), garbage=st.binary(max_size=40))
def test_a_torn_tail_costs_only_the_record_it_tore(tmp_path_factory, cut, garbage):
    journal = j.Journal(tmp_path_factory.mktemp("j") / "journal")
    journal.open()
    sizes = []
    for k in range(5):
        journal.write(j.Sent(1, k))
        sizes.append(journal.size)
    journal.abandon()
    cut = min(cut, sizes[-1])
    data = journal.path.read_bytes()[:cut]
    journal.path.write_bytes(data + garbage)
    whole = sum(size <= cut for size in sizes)
    records = journal.open()
    assert records[:whole] == [j.Sent(1, k) for k in range(whole)]
    assert len(records) == whole
    journal.write(j.Sent(9, 9))
    assert again(journal)[whole:] == [j.Sent(9, 9)]
    journal.abandon()


def test_a_damaged_byte_ends_the_reading_there(opened):
    for k in range(3):
        opened.write(j.Sent(1, k))
    data = opened.path.read_bytes()
    assert data.count(b'"n":1') == 1
    opened.path.write_bytes(data.replace(b'"n":1', b'"n":7'))  # still JSON: only the checksum can tell
    assert again(opened) == [j.Sent(1, 0)]


def test_a_rewritten_journal_says_the_same_and_goes_on(opened):
    opened.write(
        j.Lived(3), heard(5, e.AttemptsAssigned(orders=(order(),))), j.Phased("launched", ("7.1.1",), 2.0, ("p",), "s")
    )
    before = memory.recalled(again(opened), 4)
    opened.rewrite([memory.state(before)])
    opened.write(j.Lived(4))
    after = memory.recalled(again(opened), 4)
    assert (after.life, after.spawner, after.attempts.heard) == (4, "s", 5)
    assert {a.id: a.phase for a in after.attempts.held.values()} == {
        "7.0.1": "ready",
        "7.1.1": "launched",
        "7.2.1": "ready",
    }
    after.attempts.check()


def test_two_agents_cannot_have_one_journal(opened):
    with pytest.raises(BlockingIOError):
        j.Journal(opened.path).open()


def test_on_a_full_disk_a_record_is_in_wholly_or_not_at_all(opened):
    opened.write(j.Lived(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (opened.size + 30, hard))
    try:
        with pytest.raises(OSError, match=r"too large|No space|full"):
            opened.write(*(j.Sent(1, k) for k in range(50)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    opened.write(j.Lived(2))
    assert again(opened) == [j.Lived(1), j.Lived(2)]


def test_a_journal_is_its_owners_alone(opened):
    assert os.stat(opened.path).st_mode & 0o077 == 0


def test_reports_are_kept_until_the_log_has_them():
    records = [j.Lived(1), report(1), report(2), report(3), j.Sent(1, 2)]
    assert [r.n for r in memory.recalled(records, 2).reports] == [3]
    assert memory.recalled([*records, j.Lived(2), report(1, life=2), j.Sent(2, 1)], 2).reports == []


def test_what_ended_in_a_report_is_not_held_again():
    records = [heard(5, e.AttemptsAssigned(orders=(order(),))), report(1, ended("7.0.1"), ended("7.2.1"))]
    known = memory.recalled(records, 2)
    assert list(known.attempts.held) == ["7.1.1"]
    assert not known.attempts.pending.has_ends


def test_an_end_that_no_report_holds_yet_is_reported_by_the_next_life():
    recall = e.AttemptsRecalled(attempts=("7.0.1",))
    known = memory.recalled([heard(5, e.AttemptsAssigned(orders=(order(),)), recall)], 2)
    assert [x.outcome for x in known.attempts.pending.take(2, 1).ended] == ["recalled"]
    assert "7.0.1" not in known.attempts.held


def test_an_order_read_twice_is_one_order():
    event = e.AttemptsAssigned(orders=(order(),))
    known = memory.recalled([heard(5, event), report(1, ended("7.0.1")), heard(5, event)], 2)
    assert list(known.attempts.held) == ["7.1.1", "7.2.1"]


def test_delivered_outputs_and_leave_to_publish_are_remembered():
    files = (OutputFile("a", 1, "x"),)
    records = [
        heard(5, e.AttemptsAssigned(orders=(order(count=1, output="file:///o/"),))),
        j.Phased("launched", ("7.0.1",), 2.0, ("p",), "s"),
        j.Exited(ended("7.0.1")),
        report(1, delivered=(e.Delivered("7.0.1", files),)),
    ]
    known = memory.recalled(records, 2)
    assert known.attempts.held["7.0.1"].phase == "delivered"
    assert known.attempts.next_to_publish() == []
    grant = e.AttemptsSignalled(attempts=("7.0.1",), wanted="publish")
    known = memory.recalled([*records, heard(6, grant)], 2)
    assert [a.files for a in known.attempts.next_to_publish()] == [files]


def test_the_dispatchers_numbers_outlive_a_restart_and_settings_count_before():
    assert memory.recalled([], 3).attempts.slots == 3
    resized = [heard(5, e.WorkerResized(concurrency=7, prefetch=2), e.WorkerPaused())]
    known = memory.recalled(resized, 3)
    known = memory.recalled([memory.state(known)], 3)
    assert (known.attempts.slots, known.attempts.prefetch, known.attempts.paused) == (7, 2, True)


def test_the_batch_that_a_worker_was_moved_to_outlives_a_restart():
    assert memory.recalled([], 3).attempts.batch == ""
    known = memory.recalled([heard(5, e.WorkerMoved(batch="night"))], 3)
    known = memory.recalled([memory.state(known)], 3)
    assert known.attempts.batch == "night"
