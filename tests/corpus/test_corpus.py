"""Every event that was ever released stays readable: one log per released version, never edited, only added to."""

import json
from pathlib import Path

import pytest

from longshore_api.core.memory import Memory
from longshore_api.core.projection import fold as project
from longshore_common import codec
from longshore_common.events import AUTHOR
from longshore_common.log import Recorded
from longshore_dispatcher.core import snapshot
from longshore_dispatcher.core.evolve import evolve as dispatch
from longshore_dispatcher.core.state import State as Dispatcher

LOGS = sorted(Path(__file__).parent.glob("*.jsonl"))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def holds(now, then):
    """Whether all that was said then is said now; a list (a record without names) may have got fields at its end."""
    if isinstance(then, dict):
        return now.keys() == then.keys() and all(holds(now[k], then[k]) for k in then)
    if isinstance(then, list):
        grown = now[len(then) :]
        return len(now) >= len(then) and all(map(holds, now, then)) and not any(grown)
    return now == then


@pytest.mark.parametrize("path", LOGS, ids=lambda p: p.stem)
def test_every_event_of_a_released_version_decodes_to_what_it_said(path):
    for line in lines(path):
        body = json.dumps(line["event"]).encode()
        author, event = codec.decode(line["subject"], body)
        assert author.role == AUTHOR[type(event)]
        again, _ = codec.encode(event)
        assert holds(json.loads(again), line["event"]), "a field was lost, renamed or got another default"


@pytest.mark.parametrize("path", LOGS, ids=lambda p: p.stem)
def test_every_fold_takes_a_log_of_a_released_version(path):
    state, memory = Dispatcher(), Memory()
    for seq, line in enumerate(lines(path), 1):
        body = json.dumps(line["event"]).encode()
        author, event = codec.decode(line["subject"], body)
        record = Recorded(seq, 1000.0 + seq, author, line["subject"], event, "", "", body)
        dispatch(state, record)
        project(memory, [record])
    assert state.seq == memory.position == len(lines(path))
    assert snapshot.to_bytes(snapshot.from_bytes(snapshot.to_bytes(state))) == snapshot.to_bytes(state)


def test_the_newest_log_has_every_event_kind():
    kinds = {line["event"]["type"] for line in lines(LOGS[-1])}
    missing = {kind.__struct_config__.tag for kind in AUTHOR} - kinds
    assert not missing, f"add an example of each to {LOGS[-1].name}"
