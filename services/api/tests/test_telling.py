"""What is told of events to those who follow the log: of every kind there is, without what is nobody's business."""

import json
from pathlib import Path
from typing import Any

import pytest

from longshore_api.adapters.http_feed import Written
from longshore_api.core.touching import Filters, kind_of, touched
from longshore_common import codec
from longshore_common.log import Malformed, Recorded
from longshore_common.subjects import author as author_of

LOGS = sorted((Path(__file__).parents[3] / "tests" / "corpus").glob("*.jsonl"))


def records(path: Path) -> list[Recorded]:
    found = []
    for seq, line in enumerate(path.read_text().splitlines(), 1):
        said = json.loads(line)
        body = json.dumps(said["event"]).encode()
        author, event = codec.decode(said["subject"], body)
        found.append(Recorded(seq, 1000.0 + seq, author, said["subject"], event))
    return found


def told(record: Recorded) -> dict[str, Any]:
    block = Written().event(record).decode()
    head, _, data = block.partition("\ndata: ")
    assert head == f"id: {record.seq}\nevent: {kind_of(record)}"
    assert data.endswith("\n\n")
    assert data.count("\n") == 2
    return dict(json.loads(data))


@pytest.mark.parametrize("path", LOGS, ids=lambda p: p.stem)
def test_every_event_there_ever_was_is_told_in_one_line(path: Path) -> None:
    for record in records(path):
        said = told(record)
        assert said["text"], record
        assert said["seq"] == record.seq
        assert not any(secret in json.dumps(said) for secret in ("argon2", "box", "digest"))


@pytest.mark.parametrize("path", LOGS, ids=lambda p: p.stem)
def test_filters_admit_what_an_event_is_about_and_nothing_else(path: Path) -> None:
    for record in records(path):
        about = touched(record)
        assert Filters().admit(record, about)
        for worker in about.workers:
            assert Filters(worker=worker).admit(record, about)
        for batch in about.batches:
            assert Filters(batch=batch).admit(record, about)
        assert Filters(kinds=frozenset({kind_of(record)})).admit(record, about)
        assert not Filters(kinds=frozenset({"nothing"})).admit(record, about)
        assert not Filters(windows=()).admit(record, about)


def test_an_event_that_cannot_be_read_is_told_as_such() -> None:
    subject = "log.user.ann.wish"
    said = told(Recorded(7, 1000.0, author_of(subject), subject, Malformed("no JSON")))
    assert (said["type"], said["author"], said.get("tasks")) == ("unreadable", "user ann", None)
