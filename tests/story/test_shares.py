"""Whose turn it is: priority, then users by use and weight, then their batches, then the order of submission; caps."""

from longshore_common import events as e
from longshore_common.model import HostFacts, Policy, Share, TaskSpec
from longshore_dispatcher.core import shares, snapshot

SPEC = TaskSpec(command=("true",), cpus=1)


def slots(desk, cpus=8, name="w1"):
    return desk.worker(name, slots=-1, prefetch=0, facts=HostFacts(cpus=cpus))


def counts(desk, *submissions):
    """How many tasks of each were just assigned."""
    every = [s for starts in desk.starts().values() for s, _, _ in starts]
    return [every.count(s) for s in submissions]


def weigh(desk, kind, name, weight=1.0, most=0):
    desk.given(e.ShareSet(kind=kind, name=name, share=Share(weight=weight, max_running=most)))


def test_users_share_what_is_free_evenly_whatever_they_sent_first(desk):
    a = desk.accepted(100, user="ada", spec=SPEC)
    b = desk.accepted(100, user="ben", spec=SPEC)
    slots(desk)
    desk.when_settled()
    assert counts(desk, a, b) == [4, 4]


def test_weights_divide_it(desk):
    weigh(desk, "user", "ada", 3)
    a = desk.accepted(100, user="ada", spec=SPEC)
    b = desk.accepted(100, user="ben", spec=SPEC)
    slots(desk)
    desk.when_settled()
    assert counts(desk, a, b) == [6, 2]


def test_a_user_with_many_batches_gets_no_more_and_batches_of_one_user_share(desk):
    weigh(desk, "batch", "x", 3)
    a = [desk.accepted(100, user="ada", batch=batch, spec=SPEC) for batch in ("x", "y")]
    b = desk.accepted(100, user="ben", spec=SPEC)
    slots(desk, 16)
    desk.when_settled()
    assert counts(desk, *a, b) == [6, 2, 8]


def test_priority_comes_before_any_share(desk):
    weigh(desk, "user", "ada", 1000)
    a = desk.accepted(100, user="ada", spec=SPEC)
    b = desk.accepted(100, user="ben", spec=SPEC, priority=1)
    slots(desk)
    desk.when_settled()
    assert counts(desk, a, b) == [0, 8]


def test_within_a_batch_earlier_submissions_come_first(desk):
    first, second = desk.accepted(5, spec=SPEC), desk.accepted(5, spec=SPEC)
    slots(desk)
    desk.when_settled()
    assert counts(desk, first, second) == [5, 3]


def test_who_used_the_machines_waits_for_who_did_not(desk):
    slots(desk, 4)
    a = desk.accepted(8, user="ada", spec=SPEC)
    desk.when_settled()
    desk.moved("w1", "running", *[(a, k, 1) for k in range(4)])
    desk.later(100)
    b = desk.accepted(8, user="ben", spec=SPEC)
    for k in range(4):
        desk.ended("w1", (a, k, 1), took=100)
    desk.when_settled()
    assert counts(desk, a, b) == [0, 4]
    assert abs(shares.user_score(desk.state, "ada", desk.now) - 100) < 0.01  # less the decay


def test_use_counts_half_after_the_half_life(desk):
    desk.given(e.PolicySet(policy=Policy(half_life=50)))
    slots(desk, 4)
    a = desk.accepted(4, user="ada", spec=SPEC)
    desk.when_settled()
    desk.moved("w1", "running", *[(a, k, 1) for k in range(4)])
    desk.later(10)
    for k in range(4):
        desk.ended("w1", (a, k, 1), took=10)
    at_once = shares.user_score(desk.state, "ada", desk.now)
    assert 9 < at_once < 10
    assert abs(shares.user_score(desk.state, "ada", desk.now + 50) - at_once / 2) < 1e-9


def test_what_takes_most_of_something_rare_is_charged_for_that(desk):
    desk.worker("w1", slots=-1, prefetch=0, facts=HostFacts(cpus=100, gpus=2))
    a = desk.accepted(1, user="ada", spec=TaskSpec(command=("true",), cpus=1, gpus=1))
    b = desk.accepted(1, user="ben", spec=TaskSpec(command=("true",), cpus=10))
    desk.when_settled()
    desk.moved("w1", "running", (a, 0, 1), (b, 0, 1))
    desk.later(10)
    desk.ended("w1", (a, 0, 1), took=10)
    desk.ended("w1", (b, 0, 1), took=10)
    used = {user: shares.user_score(desk.state, user, desk.now) for user in ("ada", "ben")}
    assert abs(used["ada"] - 5) < 1e-3
    assert abs(used["ben"] - 1) < 1e-3


def test_tasks_too_short_to_be_seen_running_are_charged_too(desk):
    slots(desk, 4)
    a = desk.accepted(1, user="ada", spec=SPEC)
    desk.when_settled()
    desk.ended("w1", (a, 0, 1), took=8)
    assert shares.user_score(desk.state, "ada", desk.now) == 2


def test_caps_hold_for_users_and_batches_across_submissions(desk):
    weigh(desk, "user", "ada", most=3)
    weigh(desk, "batch", "x", most=2)
    a = desk.accepted(9, user="ada", batch="x", spec=SPEC)
    b = desk.accepted(9, user="ada", batch="y", spec=SPEC)
    c = desk.accepted(9, user="ben", batch="x", spec=SPEC)
    slots(desk, 8)
    desk.when_settled()
    got = counts(desk, a, b, c)
    assert got[0] + got[1] == 3
    assert got[0] + got[2] == 2
    assert desk.when_decided() == []


def test_the_place_in_line_can_be_told(desk):
    slots(desk, 4)
    a = desk.accepted(8, user="ada", spec=SPEC)
    b = desk.accepted(8, user="ben", spec=SPEC)
    desk.when_settled()
    subs = desk.state.submissions
    desk.moved("w1", "running", *[(s, k, 1) for s, k, _ in desk.starts()["w1"]])
    desk.later(5)
    desk.ended("w1", (a, 0, 1), took=100)
    ada, ben = (shares.position(desk.state, subs[s], desk.now) for s in (a, b))
    assert (ada.users, ben.users, ada.of_users) == (1, 0, 2)
    assert (ada.batches, ada.of_batches) == (0, 1)


def test_use_survives_a_snapshot_to_the_last_bit(desk):
    slots(desk, 4)
    a = desk.accepted(8, user="ada", spec=SPEC)
    desk.when_settled()
    desk.moved("w1", "running", (a, 0, 1), (a, 1, 1))
    desk.later(7)
    desk.ended("w1", (a, 0, 1), took=7)
    again = snapshot.from_bytes(snapshot.to_bytes(desk.state))
    for now in (desk.now, desk.now + 1000):
        assert shares.user_score(again, "ada", now) == shares.user_score(desk.state, "ada", now)
        assert shares.batch_score(again, "ada", "b", now) == shares.batch_score(desk.state, "ada", "b", now)
