"""sbatch: a batch script becomes a submission; its number is the answer."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from longshore import chance
from longshore_common.errors import BadInput
from longshore_common.events import TasksSubmitted
from longshore_common.ids import SubmissionId, TaskRange
from longshore_common.model import Array, TaskSpec
from longshore_slurm import closet, dependencies, directives, jobscript, submission
from longshore_slurm.door import Door
from longshore_slurm.main import told
from longshore_slurm.options import Read, joined, of_environment, over, read
from longshore_slurm.sbatch_options import MISSING, ODD, REFUSED, SBATCH

_HELP: Final = (
    "Usage: sbatch [OPTION...] SCRIPT [ARGUMENT...], or sbatch [OPTION...] --wrap=COMMAND: see docs/manual/slurm.md"
)


def run(words: list[str], environ: Mapping[str, str]) -> int:
    """Submit, print the number, and with --wait wait for the end."""
    given = read(SBATCH, words, permute=False)
    if given.has("help") or given.has("usage"):
        print(_HELP)
        return 0
    script = script_of(given)
    options = read_all(given, script.text, environ)
    warned(options, "sbatch")
    door = Door(environ)
    wish = prepared(door, options, script)
    if options.has("test-only"):
        told("sbatch", "Job can be submitted; when it starts is not known beforehand")
        return 0
    number = sent(door, wish, options)
    _answer(options, number)
    return _awaited(door, number, wish) if options.has("wait") else 0


def script_of(given: Read) -> submission.Script:
    """The batch script: of --wrap, of the file that is named, or from stdin."""
    if (line := given.last("wrap")) is not None:
        if given.rest:
            raise BadInput("Script arguments not permitted with --wrap option")
        return submission.Script(jobscript.wrapped(line), (), "wrap")
    if not given.rest:
        return submission.Script(_text(sys.stdin.buffer.read(), "standard input"), (), "sbatch")
    name, *arguments = given.rest
    try:
        text = _text(Path(name).read_bytes(), name)
    except OSError as err:
        raise BadInput(f"Unable to open file {name}: {err.strerror}") from err
    return submission.Script(text, tuple(arguments), Path(name).name)


def _text(data: bytes, name: str) -> str:
    if b"\0" in data:
        raise BadInput(f"The SLURM controller does not allow scripts that contain a NULL character '\\0': {name}")
    if b"\r\n" in data[:4096]:
        raise BadInput(
            f"Batch script contains DOS line breaks (\\r\\n) instead of expected UNIX line breaks (\\n): {name}"
        )
    try:
        return data.decode()
    except UnicodeDecodeError as err:
        raise BadInput(f"{name} is not UTF-8 ({err.reason}): convert it, or call it from a script that is") from err


def read_all(given: Read, script: str, environ: Mapping[str, str]) -> Read:
    """The options of the script, over them those of the environment, over them those of the command line."""
    inside = read(SBATCH, directives.words(script))
    outside = of_environment(SBATCH, "SBATCH_", environ, ODD)
    merged = over(SBATCH, inside.options, outside.options, given.options)
    return Read(merged, given.rest, [*inside.unknown, *given.unknown])


def warned(options: Read, program: str) -> None:
    """Say what has no effect, and refuse what would make it another job."""
    if refused := sorted(REFUSED & options.options.keys()):
        raise BadInput(f"--{refused[0]} is not possible here: submit with --hold, and release it with scontrol release")
    without = sorted(f"--{name}" for name in MISSING & options.options.keys()) + options.unknown
    if without and not options.has("quiet"):
        told(program, f"warning: {joined(without)} {'has' if len(without) == 1 else 'have'} no effect here")


def prepared(door: Door, options: Read, script: submission.Script) -> TasksSubmitted:
    """The submission's event, without what it requires."""
    open_, closed = submission.inherited(options, door.environ)
    key = chance.new_key()
    who = door.submitter()._replace(name=door.profile.user)
    wish = submission.event(options, script, who, open_, key)
    if file := closet.put(closed, door.environ):
        assert isinstance(wish.body, Array)
        spec = msgspec.structs.replace(wish.body.spec, env={**wish.body.spec.env, "LONGSHORE_SLURM_ENV": file})
        wish = msgspec.structs.replace(wish, body=msgspec.structs.replace(wish.body, spec=spec))
    return wish


def sent(door: Door, wish: TasksSubmitted, options: Read) -> int:
    """Submit it, with what has to come first; its number."""
    from longshore import once

    needs = _needs(door, options, wish.name or "")
    for need in needs[:-1]:
        gate = _gate(wish, need)
        number = door.wish(gate, key=gate.key)
        last = needs[-1]
        fulfilled = TaskRange(SubmissionId(number), 0, 0)
        if last.manner == "each":
            raise BadInput(
                "--dependency: aftercorr cannot stand beside others here: let one job wait for the others first"
            )
        needs[-1] = last._replace(tasks=(*last.tasks, fulfilled))
    if needs:
        wish = msgspec.structs.replace(wish, **submission.requiring(wish, needs[-1]))
    return once.submit(door.profile, door.bookmark, wish).id or 0


def _needs(door: Door, options: Read, name: str) -> list[dependencies.Need]:
    text = options.last("dependency")
    if not text:
        return []
    from longshore_slurm import jobs
    from longshore_slurm.waiting import OPEN

    def ranges(word: str) -> tuple[TaskRange, ...]:
        return jobs.ranges(door.reader, [word])

    def alike() -> tuple[TaskRange, ...]:
        found = jobs.several(door.reader, name=name, user=door.profile.user, state=OPEN)
        ids = {one.task.submission for one in found}
        return tuple(TaskRange(SubmissionId(i), 0, door.reader.size_of(i) - 1) for i in sorted(ids))

    return dependencies.needs(text, ranges, alike)


def _gate(wish: TasksSubmitted, need: dependencies.Need) -> TasksSubmitted:
    """A submission that does nothing and ends when its need is fulfilled."""
    gate = TasksSubmitted(
        key=chance.new_key(),
        batch=wish.batch,
        body=Array(spec=TaskSpec(command=("true",), name=f"{wish.name} may begin"[:63]), size=1),
        priority=wish.priority,
        on_failed_requirement=wish.on_failed_requirement,
    )
    return msgspec.structs.replace(gate, **submission.requiring(gate, need))


def _answer(options: Read, number: int) -> None:
    if options.has("parsable"):
        print(number, flush=True)
    elif not options.has("quiet"):
        print(f"Submitted batch job {number}", flush=True)


def _awaited(door: Door, number: int, wish: TasksSubmitted) -> int:
    """Wait for the end; the highest exit code of its tasks, 1 for one that has none."""
    from longshore_slurm import waiting

    assert isinstance(wish.body, Array)
    return waiting.code(door, number, wish.body.size)
