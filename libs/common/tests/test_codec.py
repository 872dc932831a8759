"""The codec is strict: what goes in comes out, and what is not understood is shown, never guessed at."""

import contextlib
import json
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore_common import codec, events, model, subjects
from longshore_common.adapters.records import NOBODY, read
from longshore_common.errors import BadInput, Unreadable
from longshore_common.events import AUTHOR, AttemptsReported, LeaderElected, TasksSubmitted, WorkerPaused
from longshore_common.ids import TaskRange
from longshore_common.log import Malformed
from longshore_common.model import Array, TaskSpec

NUMBERS = st.integers(-(2**63), 2**63 - 1)
INSTANTS = st.floats(allow_nan=False, allow_infinity=False)


def anything_of(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    return st.builds(kind, **{f.name: st.from_type(f.type) for f in msgspec.structs.fields(kind)})


st.register_type_strategy(int, NUMBERS)
st.register_type_strategy(float, INSTANTS)
st.register_type_strategy(object, st.none() | st.booleans() | NUMBERS | st.text() | st.lists(st.text()))  # JSON values
for room in (model, events):
    for thing in vars(room).values():
        if isinstance(thing, type) and issubclass(thing, msgspec.Struct) and thing.__module__ == room.__name__:
            st.register_type_strategy(thing, st.deferred(lambda kind=thing: anything_of(kind)))
st.register_type_strategy(TaskRange, st.deferred(lambda: anything_of(TaskRange)))

EVENTS = st.sampled_from(list(AUTHOR)).flatmap(anything_of)
SUBMITTED = TasksSubmitted(key="k", batch="b", body=Array(spec=TaskSpec(command=("true",)), size=1))


def name_of(event: events.Event) -> str:
    return {"user": "ann", "worker": "w1", "dispatch": "w1"}.get(AUTHOR[type(event)], "")


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_every_event_comes_back_as_it_went_in(event):
    subject = subjects.of(event, name_of(event))
    body, headers = codec.encode(event)
    author, again = codec.decode(subject, body, headers)
    assert again == event
    assert author.role == AUTHOR[type(event)]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["log.user.ann.wish", "log.worker.w1.report", "log.dispatch.lead"]))
def test_no_bytes_whatever_raise_anything_but_unreadable(body, subject):
    for headers in ({}, {"Content-Encoding": "deflate"}):
        with contextlib.suppress(Unreadable):
            codec.decode(subject, body, headers)


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"tasks-invented"}',
        b'{"life":1}',
        b'{"type":"worker-left","life":1,"mood":"good"}',
        b'{"type":"worker-left","life":"one"}',
        b'{"type":"worker-left"',
        b"",
        b"[]",
        b'{"type":"attempts-reported","life":1,"n":1,"moved":[["1.0.1","dancing",1.0]]}',
        '{"type":"worker-left","life":1,"reason":"\ud800"}'.encode("utf-8", "surrogatepass"),
    ],
)
def test_an_unknown_tag_field_state_or_shape_is_unreadable_with_its_bytes(body):
    with pytest.raises(Unreadable) as caught:
        codec.decode("log.worker.w1.life", body)
    assert repr(body[:200]) in str(caught.value)


def test_an_unknown_field_of_a_nested_spec_is_unreadable():
    body = json.loads(codec.encode(SUBMITTED)[0])
    body["body"]["spec"]["colour"] = "red"
    with pytest.raises(Unreadable, match="colour"):
        codec.decode("log.user.ann.wish", json.dumps(body).encode())


@pytest.mark.parametrize("kind", AUTHOR, ids=lambda kind: kind.__name__)
def test_an_event_on_the_subject_of_another_role_is_unreadable(kind):
    body = codec.encode(example(kind))[0]
    places = {
        "user": "log.user.ann.wish", "worker": "log.worker.w1.report", "dispatch": "log.dispatch.w1.work",
        "api": "log.api.fact", "recruit": "log.recruit.fact",
    }  # fmt: skip
    for role, subject in places.items():
        if role != AUTHOR[kind]:
            with pytest.raises(Unreadable, match="not its author"):
                codec.decode(subject, body)


@settings(database=None)
def example(kind):
    found = []

    @settings(max_examples=1, deadline=None, database=None)
    @given(anything_of(kind))
    def draw(event):
        found.append(event)

    draw()
    return found[0]


@pytest.mark.parametrize("subject", ["log.user.ann", "log.nobody.x", "beat.w1", "", "log.user.ann.wish.more"])
def test_a_subject_that_is_none_of_ours_is_unreadable(subject):
    with pytest.raises(Unreadable):
        codec.decode(subject, codec.encode(SUBMITTED)[0])
    author, event = read(subject, b"{}")
    assert author == NOBODY
    assert isinstance(event, Malformed)


def test_large_bodies_are_compressed_and_small_ones_are_plain_json():
    small, headers = codec.encode(SUBMITTED)
    assert (headers, json.loads(small)["type"]) == ({}, "tasks-submitted")
    large = msgspec.structs.replace(SUBMITTED, body=Array(spec=TaskSpec(command=("x" * 100_000,)), size=1))
    body, headers = codec.encode(large)
    assert headers == {"Content-Encoding": "deflate"}
    assert len(body) < 1_000
    assert codec.decode("log.user.ann.wish", body, headers)[1] == large


def test_a_body_that_grows_beyond_all_bounds_is_unreadable_not_fatal():
    inflate = zlib.compressobj(9)
    bomb = (
        b"".join(inflate.compress(bytes(1024 * 1024)) for _ in range(codec.MAX_BODY // 1024**2 + 1)) + inflate.flush()
    )
    assert len(bomb) < 1024 * 1024
    with pytest.raises(Unreadable, match="larger than"):
        codec.decode("log.user.ann.wish", bomb, {"Content-Encoding": "deflate"})


def test_a_truncated_compressed_body_is_unreadable():
    large = msgspec.structs.replace(SUBMITTED, body=Array(spec=TaskSpec(command=("x" * 100_000,)), size=1))
    body, headers = codec.encode(large)
    with pytest.raises(Unreadable):
        codec.decode("log.user.ann.wish", body[:-20], headers)


def test_arguments_of_undecodable_bytes_are_bad_input():
    bad = msgspec.structs.replace(SUBMITTED, key=b"\xff".decode("utf-8", "surrogateescape"))
    with pytest.raises(BadInput, match="UTF-8"):
        codec.encode(bad)


def test_attributes_are_cloudevents_and_the_servers_id():
    headers = codec.attributes(
        WorkerPaused(), "id-1", "/longshore/dispatch", "2026-11-21T07:00:00.000+00:00", "00-a-b-01"
    )
    assert headers == {
        "ce-specversion": "1.0", "ce-id": "id-1", "ce-source": "/longshore/dispatch",
        "ce-type": "org.longshore.worker-paused", "ce-time": "2026-11-21T07:00:00.000+00:00",
        "Nats-Msg-Id": "id-1", "traceparent": "00-a-b-01",
    }  # fmt: skip


def test_each_event_has_one_author_and_every_event_is_in_the_table():
    kinds = {k for k in vars(events).values() if isinstance(k, type) and issubclass(k, events.Event)} - {events.Event}
    assert kinds == set(AUTHOR)


def test_a_name_that_would_reach_another_subject_is_bad_input():
    for name in ("ann.bob", "*", ">", "", "Ann", "a b", "ann\r\nPUB x"):
        with pytest.raises(BadInput):
            subjects.of(SUBMITTED, name)
        with pytest.raises(BadInput):
            subjects.of(AttemptsReported(life=1, n=1), name)
        with pytest.raises(BadInput):
            subjects.permissions("worker", name)
        with pytest.raises(BadInput):
            subjects.permissions("user", name)
    with pytest.raises(BadInput, match="choose another"):
        subjects.permissions("worker", "dispatch")  # it would be asked what a dispatcher is asked
    assert subjects.of(LeaderElected(dispatcher="x")) == subjects.LEAD
