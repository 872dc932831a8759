"""Every event there is has a text of its own, for everybody who may ask: no class name and no tag stands in one."""

import json
from pathlib import Path

import pytest

from longshore_api.core import narrative
from longshore_api.core.narrative.users import of_fact
from longshore_api.core.narrative.whole import TEXTS
from longshore_common import codec
from longshore_common import events as e
from longshore_common.ids import TaskRange
from longshore_common.model import Change, Policy, Share, Substitution

CORPUS = sorted((Path(__file__).parents[3] / "tests" / "corpus").glob("*.jsonl"))[-1]


def examples() -> list[tuple[str, e.Event]]:
    found = []
    for line in CORPUS.read_text().splitlines():
        example = json.loads(line)
        _, event = codec.decode(example["subject"], json.dumps(example["event"]).encode())
        found.append((example["subject"], event))
    return found


def leaks(text: str, event: e.Event) -> bool:
    return (
        not text or type(event).__name__ in text or str(type(event).__struct_config__.tag) in text or "e." in text[:2]
    )


def test_every_kind_of_event_has_a_text_and_an_example() -> None:
    assert set(TEXTS) == set(e.AUTHOR)
    assert {type(event) for _, event in examples()} == set(e.AUTHOR)


def test_a_text_says_what_happened_and_not_how_it_is_called_here() -> None:
    texts: dict[str, type[e.Event]] = {}
    for subject, event in examples():
        text = narrative.of_event(event, 7, subject.split(".")[2])
        assert not leaks(text, event), (type(event), text)
        assert texts.setdefault(text, type(event)) is type(event), text


def test_what_is_kept_of_a_task_a_batch_or_a_worker_has_a_text_there() -> None:
    for subject, event in examples():
        worker = subject.split(".")[2]
        if type(event) in (e.RequestRefused, e.SubmissionPartSent, e.LeaderElected, e.UndoRequested):
            continue  # of no task, batch or worker
        if type(event) in (e.PolicyRequested, e.PolicySet) or of_fact(event):
            continue
        told = [narrative.of_batch(event, 3), narrative.of_worker(event)]
        for sid in range(8):
            for index in range(12):
                told += narrative.of_task(event, sid, sid, index, worker=worker)
        shown = [text for text in told if text]
        assert shown, type(event)
        assert not any(leaks(text, event) for text in shown), shown


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            e.EditRequested(
                tasks=(TaskRange(2, 0, 9),),  # type: ignore[arg-type]
                change=Change(set={"memory": 8_000_000_000, "container": None, "command": ["a", "b"]}),
            ),
            "2.0-9: asked to edit it: memory set to 8 GB; container set back to its default; command set to a b",
        ),
        (
            e.EditRequested(batch="b", change=Change(substitutions=(Substitution(field="command", find="x", replace="y"),))),
            'batch b: asked to edit its tasks: in command "x" became "y"',
        ),
        (e.TasksEdited(tasks=(TaskRange(2, 0, 0),), undoes=91), "2.0: edit 91 is taken back"),  # type: ignore[arg-type]
        (
            e.ShareSet(kind="user", name="ada", share=Share(weight=2, max_running=3)),
            "user ada: has weight 2, at most 3 tasks at once",
        ),
        (e.PolicySet(policy=Policy(trouble={"host": 3}, half_life=60)), "the policy is: half life 60, trouble host=3"),
        (e.UndoRequested(request=90), "asked to undo 90"),
    ],
)  # fmt: skip
def test_changes_read_like_what_was_typed(event: e.Event, text: str) -> None:
    assert narrative.of_event(event, 1) == text
