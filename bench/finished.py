"""What a finished submission leaves in the dispatcher: submissions of one task each, submitted, accepted, run and ended.

In memory, without services: the core alone folds the log of each. Beside: what the same took as one record and one key each.
"""

import gc
import random
import sys
import time
import uuid

import psutil
from common import Report, scaled

from longshore_common import events as e
from longshore_common import subjects
from longshore_common.ids import attempt_id
from longshore_common.log import Recorded
from longshore_common.model import Array, HostFacts, TaskSpec
from longshore_dispatcher.core import snapshot
from longshore_dispatcher.core.evolve import evolve
from longshore_dispatcher.core.state import State

#: Bytes of a record of twelve fields, its key and their places in two dicts; measured on the commit before.
AS_RECORDS = 589


def main() -> int:
    """Fold, then weigh."""
    report = Report("finished")
    n = scaled(200_000)
    state, chance, seq = State(), random.Random(1), 0

    def given(event: e.Event, name: str) -> int:
        nonlocal seq
        seq += 1
        subject = subjects.of(event, name)
        evolve(state, Recorded(seq, 1.7e9 + seq / 1000, subjects.author(subject), subject, event, f"i{seq}"))
        return seq

    given(e.LeaderElected(dispatcher="d"), "")
    given(e.WorkerJoined(life=1, facts=HostFacts(), concurrency=2), "w1")
    process = psutil.Process()
    gc.collect()
    before = process.memory_info().rss
    for k in range(n):
        spec = TaskSpec(command=("process", f"--sample=s{k}", "-x"))
        key = str(uuid.UUID(int=chance.getrandbits(128)))
        sub = given(e.TasksSubmitted(key=key, batch=f"b{k % 50}", body=Array(spec=spec, size=1)), "ann")
        given(e.SubmissionAccepted(submission=sub, size=1), "")
        order = e.Order(submission=sub, spec=spec, batch="b", user="ann", starts=(e.Start(0, 1),))
        given(e.AttemptsAssigned(orders=(order,)), "w1")
        given(e.AttemptsReported(life=1, n=k, ended=(e.Ended(attempt_id(sub, 0, 1), "succeeded", 0),)), "w1")
        state.news.clear()
    gc.collect()
    grown = process.memory_info().rss - before
    assert len(state.closed) == n
    report.at_most("of a finished submission in memory", grown / n, 120, "bytes", f"as records {AS_RECORDS} bytes")
    data = snapshot.to_bytes(state)
    report.at_most("… in a snapshot", len(data) / n, 60, "bytes")
    began = time.perf_counter()
    snapshot.from_bytes(data)
    report.at_most("… restored, of a million", (time.perf_counter() - began) * 1_000_000 / n, 10, "s")
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
