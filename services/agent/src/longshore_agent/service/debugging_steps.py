"""The steps of one task by hand: containers one after the other on this terminal, with what they share.

What must not enter: staging of inputs and resources, commands without steps and paths (`debugging` has them).
"""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import IO, NamedTuple

from longshore_agent.adapters.folders import Folders
from longshore_agent.adapters.staging.mounting import Mounting
from longshore_agent.core import contract
from longshore_agent.core.contract import Places
from longshore_common import inside
from longshore_common.errors import Refused
from longshore_common.model import Step, TaskSpec
from longshore_data.meter import Meter
from longshore_data.transfer import Transfer


class Around(NamedTuple):
    """Words for the engine beyond the usual, and what a command reads and writes; None: the terminal's."""

    words: tuple[str, ...] = ()
    stdin: IO[bytes] | None = None
    stdout: IO[bytes] | None = None
    stderr: IO[bytes] | None = None


#: Runs a step's spec with these variables, in these places; its exit code.
Run = Callable[[TaskSpec, Mapping[str, str], Places, Around], int]


async def staged(spec: TaskSpec, places: Places, transfer: Transfer) -> None:
    """Fetch what is mounted, and make what the steps share. `StoreError`."""
    with ThreadPoolExecutor(1) as pool:
        await Mounting(transfer, Folders(inside.shared(spec), places), pool).bring(spec.mounts, Meter())


def ran(spec: TaskSpec, environ: Mapping[str, str], places: Places, run: Run) -> int:
    """All steps, as an agent would; the exit code. `Refused` names the fix."""
    folders = Folders(inside.shared(spec), places)
    folders.make()
    if not spec.steps:
        return run(spec, environ, places, Around(_words(folders, "")))
    code = 0
    for number, step in enumerate(spec.steps, 1):
        _tell(f"step {number} of {len(spec.steps)}")
        one = contract.of_step(spec, step)
        env = {**environ, **step.env, "LONGSHORE_STEP": str(number)}
        temp = places._replace(temp=folders.make_temp(number - 1))
        with _streams(folders, step) as around:
            code = run(one, env, temp, around._replace(words=_words(folders, step.workdir)))
        if code and not step.ignore_error:
            return code
        if code:
            _tell(f"step {number} ended with exit code {code}, which it ignores")
    return 0


def _words(folders: Folders, workdir: str) -> tuple[str, ...]:
    words = ["--workdir", inside.clean(workdir)] if workdir else []
    for bind in folders.binds():
        words += ["--mount", f'type=bind,"source={bind.source}","target={bind.path}"']
    return tuple(words)


@contextlib.contextmanager
def _streams(folders: Folders, step: Step) -> Iterator[Around]:
    """What a step reads and writes; what it wrote is shown, and in its files, when it is over."""
    with contextlib.ExitStack() as stack:
        stdin = stack.enter_context(_opened(folders, step)) if step.stdin else None
        files = [
            stack.enter_context(tempfile.NamedTemporaryFile()) if path else None for path in (step.stdout, step.stderr)
        ]
        yield Around((), stdin, *files)
        for file, path, shown in zip(files, (step.stdout, step.stderr), (sys.stdout, sys.stderr), strict=True):
            if file is not None:
                folders.write(file.name, 0, inside.clean(path))
                file.seek(0)
                shutil.copyfileobj(file, shown.buffer)
                shown.flush()


def _opened(folders: Folders, step: Step) -> IO[bytes]:
    found = folders.resolved(inside.clean(step.stdin))
    if found is None or not os.path.isfile(found):
        raise Refused(f"its stdin {step.stdin} is not there: name a file that a mount or an earlier step puts there")
    return open(found, "rb")


def _tell(text: str) -> None:
    print(f"longshore-agent: {text}", file=sys.stderr, flush=True)
