"""What of a batch is told to whom, and told once."""

import pytest

from longshore_api.core import notices
from longshore_api.core.notices import NEWS, BatchNow, Rule, due
from longshore_common.model import STATES, Notification

NOW = 1_000_000.0


def batch(name="genomes-7", users=("ada",), ended_at=NOW - 60, idle=None, paused=False, submissions=1, **counts):
    every = {**dict.fromkeys(STATES, 0), **counts}
    return BatchNow(name, users, submissions, paused, every, ended_at, idle)


def rule(*occasions, user="ada", at=0.0, **more):
    more = {"webhook": "https://example.org/hook", **more}
    return Rule("n1", user, Notification(occasions=occasions or ("finished",), **more), at)


def told(one, about, now=NOW):
    return [notice.id for notice in due(one, about, now)]


def test_a_batch_that_has_ended_is_told_once_and_once_more_after_it_ended_again():
    ended = batch(succeeded=3)
    (first,) = told(rule(), ended)
    assert told(rule(), ended, NOW + 100) == [first]
    assert told(rule(), batch(succeeded=3, queued=1)) == []
    (again,) = told(rule(), batch(succeeded=4, ended_at=NOW - 10))
    assert again != first


@pytest.mark.parametrize("ended_at", [None, NOW - 1, NOW - NEWS - 1])
def test_what_ended_just_now_or_long_ago_or_never_ran_is_not_told(ended_at):
    assert told(rule(), batch(succeeded=1, ended_at=ended_at)) == []


def test_what_was_over_before_the_rule_was_set_is_not_told():
    assert told(rule("finished", "failing", at=NOW - 30), batch(failed=2)) == []


def test_failed_tasks_are_told_from_the_number_that_the_rule_says_once_until_more_is_submitted():
    assert told(rule("failing", failing=3), batch(failed=2, running=1)) == []
    (first,) = told(rule("failing", failing=3), batch(failed=3, running=1))
    assert told(rule("failing", failing=3), batch(failed=9, ended_at=NOW - 1)) == [first]
    (more,) = told(rule("failing", failing=3), batch(failed=9, submissions=2))
    assert more != first


def test_a_batch_that_waits_is_stuck_after_the_time_of_the_rule():
    assert told(rule("stuck", stuck=600), batch(queued=1, idle=NOW - 599)) == []
    assert len(told(rule("stuck", stuck=600), batch(queued=1, idle=NOW - 601))) == 1
    assert told(rule("stuck", stuck=600, at=NOW - 10), batch(queued=1, idle=NOW - 601)) == []
    assert batch(queued=1).waits
    assert not batch(queued=1, running=1).waits
    assert not batch(queued=1, paused=True).waits
    assert not batch(waiting=1).waits


def test_a_budget_is_told_once_when_its_tasks_have_run_for_so_long():
    assert told(rule("budget", budget=3600), batch(running=1)._replace(ran=3599)) == []
    used = batch(running=1)._replace(ran=3601)
    (first,) = told(rule("budget", budget=3600), used)
    assert told(rule("budget", budget=3600), used._replace(ran=9999, submissions=2), NOW + 100) == [first]
    (notice,) = due(rule("budget", budget=3600), used, NOW)
    assert "has used up its budget, its tasks ran 1.0 hours: 1 running." in notice.body


def test_only_those_with_tasks_in_a_batch_that_matches_are_told():
    assert told(rule(user="bob"), batch(succeeded=1)) == []
    assert told(rule(batch="other*"), batch(succeeded=1)) == []
    assert len(told(rule(batch="genomes-?"), batch(succeeded=1))) == 1


def test_each_way_gets_a_notice_of_its_own_that_says_what_is_there():
    found = list(due(rule(mail="ada@example.org"), batch(succeeded=2, failed=1), NOW))
    assert [(one.way, one.target) for one in found] == [
        ("webhook", "https://example.org/hook"),
        ("mail", "ada@example.org"),
    ]
    assert len({one.id for one in found}) == 2
    assert '"states":{"succeeded":2,"failed":1}' in found[0].body
    assert "Batch genomes-7 has finished: 2 succeeded, 1 failed." in found[0].body


def test_values_of_rules_that_hold_no_more_are_passed_over():
    assert notices.rules(["", '{"id":"n1","user":"ada","rule":{"occasions":["stuck"]},"at":3.0}']) == [
        Rule("n1", "ada", Notification(occasions=("stuck",)), 3.0)
    ]
