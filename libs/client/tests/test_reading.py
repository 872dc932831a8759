"""Reads: pages, positions, output, and every trouble as one clear error."""

from datetime import UTC, datetime

import pytest

from longshore.bookmark import Bookmark, home
from longshore.reader import Reader
from longshore_common.errors import BadInput, Conflict, NotFound, Refused, Unreachable, Unreadable


@pytest.fixture
def reader(profile):
    opened = Reader(profile, Bookmark(None), deadline=2)
    yield opened
    opened.close()


def test_all_pages_are_one_iterator_and_a_limit_ends_it(reader, api):
    def tasks(query):
        begin = int(query.get("cursor", 0))
        end = min(begin + int(query["limit"]), 2500)
        items = [{"id": f"1.{k}", "command": ["x"], "new_field": 1} for k in range(begin, end)]
        return {"items": items, "next": str(end) if end < 2500 else None, "position": 9}

    api.routes["/tasks"] = tasks
    assert [task.id for task in reader.tasks(batch="b")] == [f"1.{k}" for k in range(2500)]
    assert len(list(reader.tasks(limit=1200))) == 1200
    assert [query["limit"] for _, query in api.asked] == ["1000", "1000", "1000", "1000", "200"]
    assert api.asked[0][1]["batch"] == "b"
    assert api.connections == 1


def test_times_are_datetimes_with_zone(reader, api):
    api.routes["/tasks/1.0"] = lambda _query: {
        "id": "1.0",
        "started_at": "2026-11-21T07:00:00.250+00:00",
        "ended_at": None,
    }
    task = reader.task("1.0")
    assert task.started_at == datetime(2026, 11, 21, 7, 0, 0, 250_000, tzinfo=UTC)
    assert task.ended_at is None


def test_a_read_waits_for_what_this_user_wrote(reader, api):
    api.routes["/workers"] = lambda _query: {"items": []}
    list(reader.workers())
    reader.bookmark.saw(42)
    list(reader.workers())
    assert [query.get("after") for _, query in api.asked] == [None, "42"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, BadInput), (401, Refused), (403, Refused), (404, NotFound), (409, Conflict), (422, BadInput), (500, Refused),
     (503, Unreachable), (504, Unreachable)],
)  # fmt: skip
def test_problems_become_errors_that_say_the_detail(reader, api, status, kind, reply):
    reader.patience = 0
    api.routes["/batches/b"] = lambda _query: reply(status, {"title": "No", "detail": "because of this"})
    with pytest.raises(kind, match="because of this"):
        reader.batch("b")


def test_a_connection_the_server_dropped_is_opened_anew(reader, api, reply):
    api.routes["/batches/b"] = lambda _query: reply(body={"name": "b"}, close=True)
    assert [reader.batch("b").name for _ in range(3)] == ["b"] * 3
    assert api.connections == 3


def test_no_api_is_unreachable_with_the_fix(profile, api):
    api.close()
    with pytest.raises(Unreachable, match="longshore up"):
        Reader(profile, Bookmark(None), deadline=1).batch("b")


def test_rubbish_is_shown_not_guessed_at(reader, api, reply):
    api.routes["/batches/b"] = lambda _query: reply(body=b"<html>")
    with pytest.raises(Unreadable, match="<html>"):
        reader.batch("b")


def test_output_is_read_by_offset_to_its_end(reader, api, reply):
    data = bytes(range(256)) * 10

    def output(query):
        begin = int(query["offset"])
        piece = data[begin : begin + 1000]
        after = begin + len(piece)
        return reply(
            body=piece,
            headers={"Longshore-Next-Offset": str(after), "Longshore-Ended": "true" if after == 2560 else "false"},
        )

    api.routes["/tasks/1.0/output"] = output
    assert b"".join(reader.logs("1.0")) == data
    assert b"".join(reader.logs("1.0", offset=2500)) == data[2500:]
    assert api.asked[0][1]["stream"] == "stdout"


def test_following_goes_on_until_the_attempt_ended(reader, api, reply):
    pieces = iter([(b"a", "false"), (b"", "false"), (b"b", "false"), (b"", "true")])
    offset = 0

    def output(_query):
        nonlocal offset
        piece, ended = next(pieces)
        offset += len(piece)
        return reply(body=piece, headers={"Longshore-Next-Offset": str(offset), "Longshore-Ended": ended})

    api.routes["/tasks/1.0/output"] = output
    assert list(reader.logs("1.0", follow=True)) == [b"a", b"b"]


def test_a_missing_token_is_told_by_its_file(profile, api):
    import msgspec

    blind = msgspec.structs.replace(profile, api_token_file="/nowhere/token")
    with pytest.raises(Refused, match="/nowhere/token"):
        Reader(blind, Bookmark(None)).batch("b")


def test_the_bookmark_survives_the_process_and_the_furthest_wins(tmp_path):
    first, second = Bookmark(tmp_path / "own"), Bookmark(tmp_path / "own")
    first.submitted(7, 10)
    second.saw(3)
    assert Bookmark(tmp_path / "own").submission == (7, 10)
    (tmp_path / "own" / "last").write_bytes(b"{")
    assert Bookmark(tmp_path / "own").seq == 0


def test_the_users_own_directory_is_beside_the_stack_or_by_xdg(tmp_path):
    assert home(tmp_path, {}).parent == tmp_path
    elsewhere = home(tmp_path / "absent", {"XDG_STATE_HOME": "/x"})
    assert elsewhere.is_relative_to("/x/longshore-client")


def test_a_read_model_that_is_behind_is_waited_for(reader, api, reply):
    answers = iter([reply(504, {"detail": "at 3, not yet at 9"}), {"name": "b"}])
    api.routes["/batches/b"] = lambda _query: next(answers)
    assert reader.batch("b").name == "b"


def test_the_answer_to_a_wish_moves_the_bookmark_so_that_the_next_read_shows_it(profile, api):
    bookmark = Bookmark(None)
    bookmark.saw(7)
    reader = Reader(profile, bookmark)
    api.routes["/requests/7"] = lambda _query: {"request": 7, "answer": "refused", "reason": "no", "seq": 9}
    assert reader.answer(7, wait=0.5).reason == "no"
    assert api.asked == [("/requests/7", {"wait": "0.5"})]
    assert bookmark.seq == 9
    reader.close()
