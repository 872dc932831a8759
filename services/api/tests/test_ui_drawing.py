"""What pages draw and say: charts with their gaps, samples by the minute, sizes and times, forms that say what they mean."""

import re
from typing import Any

import pytest

from longshore_api.adapters.heard import Heard
from longshore_api.adapters.reader import Reader
from longshore_api.adapters.store import Store
from longshore_api.adapters.ui import charts, filters, submit, surgery, wishes, words
from longshore_api.adapters.ui.samples import Samples
from longshore_common.adapters.memory_log import Hub
from longshore_common.errors import BadInput
from longshore_common.ids import SubmissionId, TaskRange
from longshore_common.model import Change, TaskSpec
from longshore_common.testing.clocks import Stopped


def test_a_line_is_broken_where_nothing_was_measured() -> None:
    points = [(float(at), 5.0) for at in range(0, 600, 60)] + [(float(at), 5.0) for at in range(3000, 3600, 60)]
    (line,) = charts.chart({"x": points}, 0, 3600, top=10).lines
    assert line.stroke.count("M") == 2
    assert (line.latest, line.mean, line.most) == (5.0, 5.0, 5.0)


def test_many_points_become_a_few_and_stay_on_the_board() -> None:
    chart = charts.chart({"x": [(float(at), float(at % 7)) for at in range(100_000)]}, 0, 100_000)
    numbers = [float(n) for n in re.findall(r"-?\d+\.\d", chart.lines[0].stroke)]
    assert len(numbers) < 1000
    assert all(0 <= n <= charts.WIDTH for n in numbers)


def test_a_chart_begins_with_what_is_known_and_never_is_too_short() -> None:
    assert charts.chart({"x": [(9_000.0, 1.0), (9_900.0, 1.0)]}, 0, 10_000).begin == 9_000
    assert charts.chart({"x": [(9_990.0, 1.0)]}, 0, 10_000).begin == 9_700
    assert charts.chart({"x": []}, 0, 10_000).empty


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (0.3, 0.5), (1, 1), (1.1, 2), (2.1, 2.5), (47, 50), (51, 100), (1_770, 2_000)]
)
def test_the_scale_ends_at_a_round_number(value: float, top: float) -> None:
    assert charts.nice(value) == pytest.approx(top)


async def test_pace_is_what_ended_between_looks_and_minutes_are_kept(database: str, book: Any, project: Any) -> None:
    reader, clock = await Reader.open(database), Stopped(6000)
    heard = Heard(Hub(clock).connect("api").hints, clock)
    samples, store = Samples(reader, heard, clock), await Store.open(database)
    memory = await store.load()
    array = book.submit(100)
    book.join()
    for k in range(8):
        book.assign(array, *range(10 * k, 10 * k + 10))
        book.end(array, *range(10 * k, 10 * k + 10))
        await project(store, memory, book.records[memory.position :])
        await samples.look()
        clock.at += 10
    assert samples.pace() == pytest.approx(60)
    assert samples.pace_of("b") == pytest.approx(1)
    await heard.write(database)
    later = Samples(reader, heard, clock)
    (kept,) = await later.since(5_000)
    assert kept.pace == pytest.approx(60)
    assert kept.counts["succeeded"] == 60
    await store.close()
    await reader.close()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0004, "0 ms"),
        (0.34, "340 ms"),
        (3.21, "3.21 s"),
        (72, "1 min 12 s"),
        (720, "12 min"),
        (7_500, "2 h 5 min"),
        (266_400, "3 d 2 h"),
    ],
)
def test_times_are_said_as_people_do(seconds: float, text: str) -> None:
    assert words.span(seconds) == text


def test_the_parts_of_a_bar_fill_it_in_order() -> None:
    parts = words.segments({"queued": 50, "succeeded": 25, "failed": 25})
    assert [(p["state"], p["at"], p["width"]) for p in parts] == [
        ("succeeded", 0, 25), ("failed", 25, 25), ("queued", 50, 50),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "size"), [("", 0), ("512", 512), ("4G", 4 << 30), ("1.5 GiB", 3 << 29), ("10mb", 10 << 20)]
)
def test_sizes_are_read_as_they_are_written(text: str, size: int) -> None:
    assert submit.amount(text, "memory") == size


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e400", "G", "4X", "b", "٣G"])
def test_what_is_no_size_is_refused_by_name(text: str) -> None:
    if text in ("G", "b"):
        assert submit.amount(text, "memory") == 0
        return
    if text == "٣G":
        assert submit.amount(text, "memory") == 3 << 30
        return
    with pytest.raises(BadInput, match="memory"):
        submit.amount(text, "memory")


def test_a_query_says_nothing_with_nothing() -> None:
    query = filters.Query.of("/tasks", {"batch": " ", "state": "failed", "odd": "x"}, filters.TASKS)
    assert query() == "/tasks?state=failed"
    assert query(state=None, batch="a&b") == "/tasks?batch=a%26b"
    assert filters.chosen(query).batch is None
    assert filters.chosen(filters.Query("", {"q": "12.3-4 15"})).windows == ((12, 3, 4), (15, 0, (1 << 62) - 1))
    assert filters.chosen(filters.Query("", {"q": "align"})).name == "align"


def test_an_edit_says_only_what_is_not_as_it_was() -> None:
    spec = TaskSpec(command=("echo", "a b"), memory=1 << 30, cpus=2)
    same = {"command": "echo 'a b'", "memory": "1G", "cpus": "2", "container": ""}
    assert surgery.changed(spec, same) == Change()
    assert surgery.changed(spec, same | {"memory": "", "gpus": "1"}) == Change(set={"memory": 0, "gpus": 1})
    script = TaskSpec(command=("a | b",), shell=True)
    assert surgery.changed(script, {"command": "a | c"}) == Change(set={"command": ["a | c"]})


def test_many_ranges_are_wished_in_wishes_that_fit_the_log() -> None:
    ranges = [TaskRange(SubmissionId(7), 2 * k, 2 * k) for k in range(12_000)]
    made = list(wishes.of_tasks("cancel", ranges, {}))
    assert len(made) == 3
    assert sum(len(wish.tasks) for wish in made) == 12_000  # type: ignore[attr-defined]
    with pytest.raises(BadInput):
        list(wishes.of_tasks("cancel", [], {}))
    with pytest.raises(BadInput):
        list(wishes.of_tasks("signal", ranges, {"signal": "; rm"}))
