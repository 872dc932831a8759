"""What notebooks show: tables that are escaped, short, and the same without colours."""

from datetime import UTC, datetime
from html.parser import HTMLParser

import longshore
from longshore.records import Progress, Task
from longshore.showing import MOST_ROWS, Rows


class Checked(HTMLParser):
    """Well-formed: each tag that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data.strip())


def read(html: str) -> Checked:
    found = Checked()
    found.feed(html)
    assert found.open == []
    return found


def task(index: int, **more) -> Task:
    return Task(**{"id": f"7.{index}", "state": "succeeded", "command": ("sort", "a b"), "batch": "b", **more})


def test_a_list_is_a_table_of_what_any_record_says():
    rows = Rows([task(0, peak_memory=3 << 20), task(1, reason="why", started_at=datetime(2026, 1, 2, tzinfo=UTC))])
    words = read(rows._repr_html_()).words
    assert [w for w in words if w in ("id", "state", "batch", "command", "reason", "worker")] == [
        "id", "state", "batch", "reason", "command",
    ]  # fmt: skip
    assert {"7.0", "7.1", "sort 'a b'", "3.0M", "2026-01-02 00:00:00+00:00", "why"} <= set(words)


def test_what_strangers_wrote_is_text():
    evil = "<script>alert(1)</script><b onload='x'>"
    for html in (Rows([task(0, name=evil, command=(evil,))])._repr_html_(), task(0, name=evil)._repr_html_()):
        assert not read(html).tags & {"script", "b"}
        assert "&lt;script&gt;" in html


def test_a_long_list_is_cut_and_says_so():
    html = Rows(task(k) for k in range(MOST_ROWS + 5))._repr_html_()
    assert "… and 5 more" in html
    assert html.count("<tr>") == MOST_ROWS + 1


def test_an_empty_list_and_plain_values_are_shown_too():
    assert "nothing" in Rows[Task]()._repr_html_()
    assert "2 items" in Rows(["a", "b"])._repr_html_()


def test_progress_is_a_bar():
    html = Progress(submission=7, size=10, states={"succeeded": 3, "failed": 1, "running": 2})._repr_html_()
    assert "value='4' max='10'" in html
    assert "3 succeeded, 1 failed" in html


def test_a_list_becomes_what_data_frames_take():
    (one,) = longshore.Rows([task(0)]).as_dicts()
    assert (one["id"], one["command"]) == ("7.0", ("sort", "a b"))


def test_a_long_cell_is_cut():
    assert len(read(task(0, reason="x" * 1000)._repr_html_()).words[-1]) <= 200
