"""Histories of a user and of everything: in pages, filtered, the newest last; wishes and their answers name each other."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from longshore_api.adapters.reader import Reader
from longshore_common import events as e
from longshore_common.ids import SubmissionId, TaskRange
from longshore_common.model import Change, Share

from .test_http import Api


@pytest.fixture
async def api(database: str, book: Any, project: Any) -> AsyncIterator[Api]:
    reader = await Reader.open(database)
    made = Api(database, book, project, reader)
    yield made
    await made.client.aclose()
    await reader.close()


async def story(api: Api) -> None:
    book = api.book
    sub = SubmissionId(book.submit(3, user="ada"))  # 1
    book.submit(1, user="bob", batch="c")  # 2
    book.join()  # 3
    tasks = (TaskRange(sub, 0, 1),)
    change = Change(set={"memory": 4_000_000_000})
    book.write(e.EditRequested(tasks=tasks, change=change), "bob")  # 4
    book.write(e.TasksEdited(tasks=tasks, change=change, request=4))  # 5
    book.write(e.ShareRequested(kind="user", name="ada", weight=2), "root")  # 6
    book.write(e.ShareSet(kind="user", name="ada", share=Share(weight=2), request=6))  # 7
    book.write(e.UndoRequested(request=4), "bob")  # 8
    book.write(e.TasksEdited(tasks=tasks, undoes=5, request=8))  # 9
    await api.shown()


async def texts(api: Api, path: str, **query: Any) -> list[str]:
    return [f"{line['seq']} {line['author']}: {line['text']}" for line in (await api.json(path, **query))["items"]]


async def test_an_edit_tells_what_it_changed_who_wanted_it_and_what_undo_takes(api: Api) -> None:
    await story(api)
    assert await texts(api, "tasks/1.0/history") == [
        "1 user ada: submitted to batch b",
        "4 user bob: asked to edit it: memory set to 4 GB",
        "5 dispatch: edited: memory set to 4 GB, as bob asked at 4",
        "9 dispatch: edit 5 is taken back, as bob asked at 8",
    ]
    assert [line["request"] for line in (await api.json("tasks/1.0/history"))["items"]] == [None, None, 4, 8]
    assert await texts(api, "tasks/1.2/history") == ["1 user ada: submitted to batch b"]


async def test_a_user_has_a_history(api: Api) -> None:
    await story(api)
    assert await texts(api, "users/ada/history") == [
        "1 user ada: submission 1 of 3 tasks to batch b",
        "6 user root: user ada: asked to give it weight 2",
        "7 dispatch: user ada: has weight 2, no cap, as root asked at 6",
    ]
    assert await texts(api, "users/bob/history", limit=2) == [
        "2 user bob: submission 2 of 1 task to batch c",
        "4 user bob: 1.0-1: asked to edit it: memory set to 4 GB",
    ]
    page = await api.json("users/bob/history", limit=2)
    assert await texts(api, "users/bob/history", cursor=page["next"]) == ["8 user bob: asked to undo 4"]
    assert await texts(api, "users/nobody/history") == []


async def test_everything_is_told_in_order_and_by_filters(api: Api) -> None:
    await story(api)

    async def seqs(**query: Any) -> list[int]:
        return [line["seq"] for line in (await api.json("history", **query))["items"]]

    assert await seqs() == list(range(1, 10))
    assert await seqs(author="bob") == [2, 4, 8]
    assert await seqs(author="worker w1") == [3]
    assert await seqs(author="dispatch") == [5, 7, 9]
    assert await seqs(type="tasks-edited,undo-requested") == [5, 8, 9]
    assert await seqs(since="7") == [7, 8, 9]
    assert await seqs(until="2") == [1, 2]
    api.clock.at = 1010
    assert await seqs(since="4s ago") == [7, 8, 9]
    assert await seqs(since="1970-01-01T00:16:46.500+00:00", until="1970-01-01T00:16:48+00:00") == [7, 8]
    assert await seqs(until="1970-01-01T00:00:00+00:00") == []


async def test_the_newest_come_first_in_pages_and_last_in_a_page(api: Api) -> None:
    await story(api)
    page = await api.json("history", newest=True, limit=4)
    assert [line["seq"] for line in page["items"]] == [6, 7, 8, 9]
    page = await api.json("history", newest=True, limit=4, cursor=page["next"])
    assert [line["seq"] for line in page["items"]] == [2, 3, 4, 5]
    page = await api.json("history", newest=True, limit=4, cursor=page["next"])
    assert ([line["seq"] for line in page["items"]], page["next"]) == ([1], None)


async def test_a_kind_that_does_not_exist_is_refused_with_what_is_near(api: Api) -> None:
    answer = await api.get("history", type="tasks-edit")
    assert answer.status_code == 400
    assert "tasks-edited" in answer.json()["detail"]


async def test_undoing_a_wish_is_no_answer_to_it(api: Api) -> None:
    await story(api)
    assert (await api.json("requests/4"))["seq"] == 5
