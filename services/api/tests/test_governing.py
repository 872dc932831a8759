"""What governs all, as a reader of the api sees it: shares, the policy, sizes of workers, what an attempt was given."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from longshore_api.adapters.store import Store
from longshore_common import events as e
from longshore_common.ids import SubmissionId
from longshore_common.model import Array, HostFacts, Policy, Request, Share, TaskSpec

from .test_http import Api, Reader


def assign(api: Api, spec: TaskSpec, *starts: e.Start) -> None:
    order = e.Order(submission=SubmissionId(2), spec=spec, batch="b", user="ann", starts=starts)
    api.book.write(e.AttemptsAssigned(orders=(order,)), "w1")


@pytest.fixture
async def api(database: str, book: Any, project: Any) -> AsyncIterator[Api]:
    reader = await Reader.open(database)
    made = Api(database, book, project, reader)
    yield made
    await made.client.aclose()
    await reader.close()


async def test_shares_that_differ_from_the_usual_are_listed_with_the_wish_behind_them(api: Api) -> None:
    api.book.write(e.ShareSet(kind="user", name="zoe", share=Share(weight=2), request=1))
    api.book.write(e.ShareSet(kind="batch", name="b", share=Share(max_running=7), request=2))
    api.book.write(e.ShareSet(kind="batch", name="gone", share=Share(weight=3), request=3))
    api.book.write(e.ShareSet(kind="batch", name="gone", share=Share(), request=4))
    await api.shown()
    items = (await api.json("shares"))["items"]
    assert [(i["kind"], i["name"], i["weight"], i["max_running"], i["request"]) for i in items] == [
        ("batch", "b", 1, 7, 2), ("user", "zoe", 2, 0, 1)
    ]  # fmt: skip
    assert items[0]["since"].startswith("1970-01-01T")


async def test_the_policy_is_whole_also_before_anybody_set_one_and_the_last_one_holds(api: Api) -> None:
    usual = {name: getattr(Policy(), name) for name in Policy.__struct_fields__}
    assert await api.json("policy") == {"policy": usual, "since": None, "request": 0}
    api.book.write(e.PolicySet(policy=Policy(half_life=60), request=1))
    api.book.write(e.PolicySet(policy=Policy(trouble={"host": 9}), request=2))
    await api.shown()
    told = await api.json("policy")
    assert (told["policy"], told["request"]) == ({**usual, "trouble": {"host": 9}}, 2)


async def test_what_governs_is_told_anew_after_a_rebuild(api: Api, database: str, project: Any) -> None:
    api.book.write(e.ShareSet(kind="batch", name="b", share=Share(weight=2), request=1))
    await api.shown()
    store = await Store.open(database)
    await store.empty()
    assert (await api.json("shares"))["items"] == []
    await project(store, await store.load(), api.book.records)
    await store.close()
    assert [i["weight"] for i in (await api.json("shares"))["items"]] == [2]


async def test_a_worker_shows_automatic_slots_prefetch_in_percent_and_what_its_operator_named(api: Api) -> None:
    facts = HostFacts(cpus=8, custom={"license": 2.0})
    api.book.write(e.WorkerJoined(life=1, facts=facts, concurrency=-1, prefetch_percent=50), "w1")
    await api.shown()
    worker = await api.json("workers/w1")
    sizes = (worker["concurrency"], worker["prefetch"], worker["prefetch_percent"], worker["facts"]["custom"])
    assert sizes == (-1, -1, 50, {"license": 2.0})
    api.book.write(e.WorkerResized(concurrency=4, prefetch=2), "w1")
    await api.shown()
    worker = await api.json("workers/w1")
    assert (worker["concurrency"], worker["prefetch"], worker["prefetch_percent"]) == (4, 2, 0)


async def test_attempts_show_which_of_its_requests_each_was_given(api: Api) -> None:
    asked = TaskSpec(command=("x",), cpus=2, gpus=1, alternatives=(Request(cpus=16, custom={"license": 1.0}),))
    api.book.join()
    sub = api.book.submit(2, body=Array(spec=asked, size=2))
    first = TaskSpec(command=("x",), cpus=2, gpus=1)
    other = TaskSpec(command=("x",), cpus=16, custom={"license": 1.0})
    assign(api, first, e.Start(0, 1), e.Start(1, 1, memory=1 << 20))
    api.book.requeue(sub, 1)
    assign(api, other, e.Start(1, 2))
    await api.shown()
    attempts = (await api.json(f"tasks/{sub}.1/attempts"))["items"]
    assert [attempt["given"] for attempt in attempts] == [
        {"cpus": 2.0, "memory": 1 << 20, "gpus": 1}, {"cpus": 16.0, "custom": {"license": 1.0}}
    ]  # fmt: skip
    (plain,) = (await api.json(f"tasks/{sub}.0/attempts"))["items"]
    assert plain["given"] == {"cpus": 2.0, "gpus": 1}


async def test_an_attempt_of_a_task_that_asks_for_nothing_was_given_a_slot(api: Api) -> None:
    api.book.join()
    sub = api.book.submit()
    api.book.assign(sub, 0)
    await api.shown()
    (attempt,) = (await api.json(f"tasks/{sub}.0/attempts"))["items"]
    assert attempt["given"] is None
