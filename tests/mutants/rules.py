"""The mutants: each breaks one rule in the source by replacing one passage with another.

A passage that is not found exactly once is an error: the source moved on, and the mutant must follow it. What must not
enter: mutants that change nothing a user could notice.
"""

from typing import NamedTuple


class Mutant(NamedTuple):
    """`rule`: what holds in our source. In `path` (below a package's src) `old` becomes `new`."""

    name: str
    rule: str
    path: str
    old: str
    new: str


CORE = "longshore_dispatcher/core/"

MUTANTS = (
    Mutant(
        "any-attempt-ends-its-task",
        "only the task's current attempt, reported by the worker that holds it, ends it",
        CORE + "reports.py",
        "        task = attempts.get(end.attempt)\n",
        "        whose = end.attempt.rpartition('.')[0]\n"
        "        every = (t for one in state.loads.values() for t in one.attempts.values())\n"
        "        task = next((t for t in every if t.attempt.rpartition('.')[0] == whose), None)\n",
    ),
    Mutant(
        "cpus-promised-again",
        "CPUs that attempts hold are not free",
        CORE + "seats.py",
        "self.cpus = facts.cpus * 1000 - load.cpus - plain",
        "self.cpus = facts.cpus * 1000 - plain",
    ),
    Mutant(
        "back-to-the-host-that-failed",
        "a task keeps away from the host that failed it",
        CORE + "evolve.py",
        "    task.avoid = task.worker\n",
        "    task.avoid = ''\n",
    ),
    Mutant(
        "what-was-granted-runs-again",
        "once an attempt was granted publication, its outputs are the result: the next attempt only publishes them",
        CORE + "orders.py",
        "_Nth(task.index, task.n + 1, variant, task.granted)",
        "_Nth(task.index, task.n + 1, variant, 0)",
    ),
    Mutant(
        "a-requirement-is-dropped",
        "a submission waits for every task that it requires",
        CORE + "requirements.py",
        "        total[0] += still if sub.any_outcome else still + broken\n",
        "        total[0] += 0 if required is sub.requires[-1] else still + broken\n",
    ),
    Mutant(
        "retries-cost-nothing",
        "what a task fails of by itself spends its retries",
        CORE + "evolve.py",
        "        task.spent += 1\n",
        "        task.spent += 0\n",
    ),
    Mutant(
        "who-used-most-comes-first",
        "among users, who used least for its weight is served first",
        CORE + "lineup.py",
        'def __lt__(self, other: "Whose") -> bool:\n        return (self.score, self.name) < (other.score, other.name)',
        'def __lt__(self, other: "Whose") -> bool:\n        return (self.score, self.name) > (other.score, other.name)',
    ),
    Mutant(
        "claims-are-ignored",
        "what is claimed on a worker is left free for the task that claims it",
        CORE + "deal.py",
        "return most if name not in self.claims else min(most, self._beside_claim(name, ask))",
        "return most",
    ),
    Mutant(
        "quarantine-for-ever",
        "after its quarantine a worker gets one task to try it out",
        CORE + "trust.py",
        "    return 0 if said_nothing else 1\n",
        "    return 0\n",
    ),
    Mutant(
        "decides-before-it-has-read",
        "a leader decides only after its own last decisions came back from the log",
        "longshore_dispatcher/service.py",
        "            elif self.leading and not self._awaited:\n",
        "            elif self.leading:\n",
    ),
    Mutant(
        "priority-backwards",
        "a higher priority is served first",
        CORE + "lineup.py",
        "return sorted({*self._state.queue.tree, *self.extra})",
        "return sorted({*self._state.queue.tree, *self.extra}, reverse=True)",
    ),
    Mutant(
        "an-edit-reaches-what-runs",
        "what is on a worker keeps the spec that it was given, also for what is judged of it",
        CORE + "edits.py",
        "        if task.placed:\n            meant.cut(task.index, task.index)\n",
        "        if False:\n            meant.cut(task.index, task.index)\n",
    ),
    Mutant(
        "unread-orders-are-lost",
        "what a worker that joins has not read yet is not lost",
        CORE + "reports.py",
        "        if attempt not in held and task.seq <= event.handled:\n",
        "        if attempt not in held:\n",
    ),
    Mutant(
        "a-key-is-forgotten",
        "a submission sent again with its key runs once",
        CORE + "intake.py",
        "    state.keys.setdefault(whose, record.seq)\n",
        "    state.keys[whose] = record.seq\n",
    ),
    Mutant(
        "the-read-model-believes-the-lost",
        "in the read model an attempt that was lost or superseded cannot settle its task any more",
        "longshore_api/core/memory.py",
        '            self.current.pop(f"{row.submission.id}.{row.index}.{row.attempt}", None)\n',
        "",
    ),
)
