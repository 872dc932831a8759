"""Who may ask for what: the manual's table of wishes, against the dispatcher's answers."""

from pathlib import Path

import pytest

from longshore_common import events as e
from longshore_common.events import AUTHOR
from longshore_common.ids import WorkerId
from longshore_common.model import Change, Policy, Retention
from longshore_dispatcher.core import snapshot

MANUAL = Path(__file__).parents[2] / "docs" / "manual" / "users.md"


def table() -> dict[str, dict[str, str]]:
    """By wish and role: yes, no or own."""
    part = MANUAL.read_text().split("## The table: wishes")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("| `")
    ]
    return {row[0].strip("`"): dict(zip(("viewer", "user", "admin"), row[1:], strict=True)) for row in rows}


TABLE = table()


def wish(kind: str, desk, sub: int) -> e.Event:
    """One of this kind, about the submission `sub` in batch b."""
    tasks, workers = desk.tasks(sub, 0), (WorkerId("w1"),)
    made = {
        "cancel-requested": lambda: e.CancelRequested(tasks=tasks),
        "retry-requested": lambda: e.RetryRequested(tasks=tasks),
        "signal-requested": lambda: e.SignalRequested(tasks=tasks, signal="pause"),
        "edit-requested": lambda: e.EditRequested(tasks=tasks, change=Change(set={"retries": 3})),
        "delete-requested": lambda: e.DeleteRequested(tasks=tasks),
        "batch-pause-requested": lambda: e.BatchPauseRequested(batch="b"),
        "batch-resume-requested": lambda: e.BatchResumeRequested(batch="b"),
        "batch-retention-requested": lambda: e.BatchRetentionRequested(batch="b", retention=Retention()),
        "worker-pause-requested": lambda: e.WorkerPauseRequested(workers=workers),
        "worker-resume-requested": lambda: e.WorkerResumeRequested(workers=workers),
        "worker-resize-requested": lambda: e.WorkerResizeRequested(workers=workers, concurrency=3),
        "worker-move-requested": lambda: e.WorkerMoveRequested(workers=workers, batch="c"),
        "worker-care-requested": lambda: e.WorkerCareRequested(workers=workers, care="clean"),
        "remotes-shared": lambda: e.RemotesShared(boxes=(e.Box(worker=workers[0], box="x"),)),
        "share-requested": lambda: e.ShareRequested(kind="user", name="ann", weight=2.0),
        "policy-requested": lambda: e.PolicyRequested(policy=Policy()),
        "secret-shared": lambda: e.SecretShared(name="s", boxes=(e.Box(worker=workers[0], box="x"),)),
    }  # fmt: skip
    return made[kind]()


def told(desk) -> str:
    """The reasons for which wishes were refused in this turn."""
    refused = [event.reason for event in desk.every(e.RequestRefused)]
    return "; ".join(refused + [event.reason for event in desk.every(e.SubmissionRejected)])


@pytest.fixture
def people(desk):
    desk.given(e.UserAdded(user="root", role="admin"))
    for name, role in (("vic", "viewer"), ("ann", "user"), ("bob", "user")):
        desk.given(e.UserAdded(user=name, role=role))
    return desk


AUTHORITY = ("admins", "reads", "belongs to", "as well", "revoked", "no secret")


def turned_away(desk) -> bool:
    return any(word in told(desk) for word in AUTHORITY)


def settled_wish(desk, kind: str, by: str, owner: str) -> None:
    """A wish of this kind by one user about what another has."""
    desk.worker("w1")
    sub = desk.accepted(1, user=owner)
    if kind == "batch-resume-requested":
        desk.given(e.BatchPaused(batch="b"))
    if kind in ("retry-requested", "delete-requested"):
        desk.given(e.TasksCancelled(tasks=desk.tasks(sub, 0)))
    desk.given(wish(kind, desk, sub), by)
    desk.when_settled()


WISHES = sorted(set(TABLE) - {"tasks-submitted", "submission-part-sent", "undo-requested"})


@pytest.mark.parametrize("kind", WISHES)
@pytest.mark.parametrize(("by", "role"), [("vic", "viewer"), ("ann", "user"), ("root", "admin")])
def test_each_role_gets_what_the_manual_says_of_what_is_anothers(people, kind, by, role):
    settled_wish(people, kind, by, "bob")
    assert turned_away(people) is (TABLE[kind][role] != "yes"), told(people)


@pytest.mark.parametrize("kind", WISHES)
@pytest.mark.parametrize(("by", "role"), [("ann", "user"), ("root", "admin")])
def test_each_role_gets_what_the_manual_says_of_what_is_its_own(people, kind, by, role):
    settled_wish(people, kind, by, by)
    assert turned_away(people) is (TABLE[kind][role] == "no"), told(people)


def test_the_table_has_every_wish_there_is():
    wishes = {kind.__struct_config__.tag for kind, role in AUTHOR.items() if role == "user"}
    assert set(TABLE) == wishes


@pytest.mark.parametrize(("by", "role"), [("vic", "viewer"), ("ann", "user"), ("root", "admin"), ("eve", "user")])
def test_who_may_submit_is_accepted(people, by, role):
    people.submitted(user=by)
    people.when_settled()
    assert bool(people.every(e.SubmissionAccepted)) is (TABLE["tasks-submitted"][role] == "yes")


def test_a_revoked_user_asks_for_nothing_more_and_what_they_had_goes_on(people):
    people.worker("w1")
    sub = people.accepted(2, user="ann")
    people.given(e.UserRevoked(user="ann"))
    people.submitted(user="ann")
    people.given(e.CancelRequested(tasks=people.tasks(sub, 0)), "ann")
    people.when_settled()
    assert told(people).count("ann is revoked") == 2
    assert people.state_of(sub) == "assigned"
    people.given(e.CancelRequested(tasks=people.tasks(sub, 0, 1)), "root")
    people.when_settled()
    assert people.every(e.AttemptsSignalled)


def test_an_admin_means_all_of_a_batch_and_a_user_their_own_in_it(people):
    mine, theirs = people.accepted(1, user="ann"), people.accepted(1, user="bob")
    people.given(e.CancelRequested(batch="b"), "ann")
    people.when_settled()
    assert (people.state_of(mine), people.state_of(theirs)) == ("cancelled", "queued")
    people.given(e.RetryRequested(batch="b"), "root")
    people.given(e.CancelRequested(batch="b"), "root")
    people.when_settled()
    assert (people.state_of(mine), people.state_of(theirs)) == ("cancelled", "cancelled")


def test_a_batch_that_others_share_is_paused_by_admins_alone(people):
    people.accepted(1, user="ann")
    people.accepted(1, user="bob")
    people.given(e.BatchPauseRequested(batch="b"), "ann")
    people.when_settled()
    assert "tasks of bob as well" in told(people)
    people.given(e.BatchPauseRequested(batch="b"), "root")
    people.when_settled()
    assert people.every(e.BatchPaused)


def test_who_is_no_admin_any_more_undoes_nothing_that_takes_one(people):
    people.worker("w1")
    people.given(e.UserAdded(user="eva", role="admin"))
    paused = people.given(e.WorkerPauseRequested(workers=(WorkerId("w1"),)), "eva")
    people.when_settled()
    theirs = people.accepted(1, user="bob")
    cancelled = people.given(e.CancelRequested(tasks=people.tasks(theirs, 0)), "eva")
    people.when_settled()
    people.given(e.UserChanged(user="eva", role="user"))
    for request in (paused, cancelled):
        people.given(e.UndoRequested(request=request), "eva")
        people.when_settled()
        assert turned_away(people), told(people)
    people.given(e.UndoRequested(request=cancelled), "root")
    people.when_settled()
    assert people.state_of(theirs) == "queued"


def test_undoing_is_for_whose_it_is_and_for_admins(people):
    mine = people.accepted(1, user="ann")
    request = people.given(e.CancelRequested(tasks=people.tasks(mine, 0)), "ann")
    people.when_settled()
    people.given(e.UndoRequested(request=request), "bob")
    people.when_settled()
    assert "belongs to ann" in told(people)
    people.given(e.UndoRequested(request=request), "root")
    people.when_settled()
    assert people.state_of(mine) == "queued"


def test_without_users_everybody_asks_for_everything_but_the_tasks_of_others(desk):
    desk.worker("w1")
    theirs = desk.accepted(1, user="bob")
    desk.given(e.WorkerPauseRequested(workers=(WorkerId("w1"),)), "ann")
    desk.given(e.CancelRequested(tasks=desk.tasks(theirs, 0)), "ann")
    desk.when_settled()
    assert desk.every(e.WorkerPaused)
    assert "belongs to bob" in told(desk)


def test_the_last_admin_stays_one(people):
    people.given(e.UserRevoked(user="root"))
    people.given(e.UserChanged(user="root", role="viewer"))
    people.given(e.PolicyRequested(policy=Policy()), "root")
    people.when_settled()
    assert people.every(e.PolicySet)


def test_a_snapshot_knows_who_may_what(people):
    people.given(e.UserRevoked(user="bob"))
    again = snapshot.from_bytes(snapshot.to_bytes(people.state))
    assert again.authority.roles == {"root": "admin", "vic": "viewer", "ann": "user", "bob": None}
