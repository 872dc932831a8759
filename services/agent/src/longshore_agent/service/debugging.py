"""One task by hand on this host: its inputs staged, its environment, a terminal; or a shell where a failed attempt worked.

Nothing is reported and nothing is published. What must not enter: the log, the journal, other attempts.
"""

import asyncio
import functools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import Struct, structs

from longshore_agent.adapters.containers import options
from longshore_agent.core import contract
from longshore_agent.core.contract import INSIDE, Places
from longshore_agent.core.ports import ContainerError
from longshore_agent.service import debugging_steps
from longshore_agent.service.debugging_steps import Around
from longshore_common import inside
from longshore_common.errors import BadInput, NotFound, Refused
from longshore_common.events import Order, Start
from longshore_common.ids import SubmissionId, attempt_id, split_task
from longshore_common.model import TaskSpec
from longshore_common.profile import state_dir
from longshore_data import uri
from longshore_data.configuration import own_remotes
from longshore_data.meter import Limits, Meter
from longshore_data.storage import Storage
from longshore_data.store import StoreError
from longshore_data.transfer import Transfer

#: Nothing is read from files or written to them.
TERMINAL: Final = Around()
_DIRS: Final = ("input", "output", "temp", "resource")


class Case(Struct, frozen=True):
    """What is to be run: a task's spec and what its placeholders stand for, as the api tells them."""

    task: str
    label: int
    entry: str
    batch: str
    user: str
    spec: TaskSpec
    attempt: int | None = None


class Wish(NamedTuple):
    """How: `kept` in the directory that the last failed attempt left here; `shell` instead of the command; where to work."""

    kept: bool = False
    shell: bool = False
    directory: str = ""
    command: tuple[str, ...] = ()


def debug(case: Case, wish: Wish) -> int:
    """Run it on this terminal and return its exit code. `BadInput`, `Refused` and `StoreError` name the fix."""
    if case.spec.steps and case.spec.container is None and not (wish.kept or wish.shell or wish.command):
        raise Refused(f"{case.task} has steps without containers: give one after the other, as words after --")
    root = _kept(case) if wish.kept else _made(wish.directory, case)
    places = Places(*(f"{root}/{name}" for name in _DIRS))
    start = Start(split_task(case.task)[1], case.attempt or 1, case.label, case.entry)
    spec = contract.located(case.spec, start)
    if not wish.kept:
        asyncio.run(_staged(spec, places))
    code = _ran(case, spec, start, places, wish)
    _tell(f"exit code {code}; what it left is in {root}")
    return code


def _made(directory: str, case: Case) -> str:
    """A directory to work in: the one named, which must be new or empty, or one beside us."""
    if not directory:
        root = tempfile.mkdtemp(prefix=f"longshore-debug-{case.task}-", dir=".")
        directory = os.path.abspath(root)
    elif os.path.isdir(directory) and os.listdir(directory):
        raise BadInput(f"{directory} is not empty: name a new directory")
    for name in _DIRS:
        os.makedirs(f"{directory}/{name}", exist_ok=True)
    return os.path.abspath(directory)


def _kept(case: Case) -> str:
    """Where the last failed attempt of this task worked, if that was here and is still kept."""
    bases = [Path(b) for b in (os.environ.get("LONGSHORE_WORKER_DIR", ""),) if b]
    bases += sorted((state_dir(os.environ) / "workers").glob("*"))
    bases += sorted(Path("/var/lib/longshore").glob("*"))
    found = [path for base in bases for path in (base / "kept").glob(f"{case.task}.*") if path.is_dir()]
    if not found:
        raise NotFound(
            f"no work directory of {case.task} is kept on {socket.gethostname()}: see `longshore task show {case.task}` for "
            "the worker that ran it, or leave out --kept to stage it anew"
        )
    return str(max(found, key=lambda path: int(path.name.rpartition(".")[2])))


async def _staged(spec: TaskSpec, places: Places) -> None:
    """Inputs and resources, with the credentials of whoever calls."""
    storage = Storage(os.environ, own_remotes(os.environ))
    transfer, meter = Transfer(storage, Limits()), Meter()
    try:
        if spec.container is not None and inside.several(spec):
            await debugging_steps.staged(spec, places, transfer)
        for uris, directory, what in (
            (spec.inputs, places.input, "input"),
            (spec.resources, places.resource, "resource"),
        ):
            if uris:
                _tell(f"staging {len(uris)} {what}{'s' if len(uris) > 1 else ''} into {directory}")
                await transfer.bring([uri.source(text) for text in uris], directory, meter, what)
    except StoreError as err:
        raise Refused(f"{err} ({'a retry may help' if err.retriable else 'a retry cannot help'})") from err
    finally:
        await storage.close()


def _ran(case: Case, spec: TaskSpec, start: Start, places: Places, wish: Wish) -> int:
    submission, index = split_task(case.task)
    order = Order(submission=SubmissionId(submission), spec=spec, batch=case.batch, user=case.user, starts=())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    host = contract.Host(socket.gethostname(), os.cpu_count() or 1, memory, 1)
    name = attempt_id(SubmissionId(submission), index, start.n)
    inherited = {} if spec.container else contract.kept(os.environ)
    shared = contract.shared_environment(order, host, inherited)
    environ = contract.environment(shared, name, start, INSIDE if spec.container else places)
    if spec.container and inside.several(spec):
        one = wish.kept or wish.shell or wish.command
        run = functools.partial(_in_container, wish=wish)
        return debugging_steps.ran(structs.replace(spec, steps=()) if one else spec, environ, places, run)
    if spec.container:
        return _in_container(spec, environ, places, wish=wish)
    words = (
        [os.environ.get("SHELL") or "/bin/sh"] if wish.shell or wish.kept else list(wish.command or contract.argv(spec))
    )
    return _called(words, environ, places.temp)


def _in_container(
    spec: TaskSpec,
    environ: Mapping[str, str],
    places: Places,
    around: Around = TERMINAL,
    *,
    wish: Wish,
) -> int:
    """By the engine's own command, which knows terminals. Values travel by its environment, not in its arguments."""
    program = shutil.which("docker") or shutil.which("podman")
    if program is None:
        raise Refused("neither docker nor podman is on PATH: install one of them to debug tasks in containers")
    try:
        options.parse(spec.container_options)
    except ContainerError as err:
        raise Refused(err.reason) from err
    terminal = ["-t"] if around.stdin is around.stdout is None and sys.stdin.isatty() and sys.stdout.isatty() else []
    words = [program, "run", "--rm", "-i", *terminal, *_limits(spec), *_mounts(places), *around.words]
    words += [word for key in environ for word in ("-e", key)]
    words += spec.container_options
    if wish.shell or wish.kept:
        words += ["--entrypoint", "/bin/sh", spec.container or ""]
    else:
        words += [spec.container or "", *(wish.command or contract.argv(spec))]
    return _called(words, {**os.environ, **environ, "PATH": os.environ.get("PATH", os.defpath)}, ".", around)


def _limits(spec: TaskSpec) -> list[str]:
    words = [f"--cpus={spec.cpus:g}"] if spec.cpus else []
    words += [f"--memory={spec.memory}"] if spec.memory else []
    words += [f"--gpus={spec.gpus}"] if spec.gpus else []
    if spec.uid is not None:
        words.append(f"--user={spec.uid}" + (f":{spec.gid}" if spec.gid is not None else ""))
    return words


def _mounts(places: Places) -> list[str]:
    words: list[str] = []
    for source, target in zip(places, INSIDE, strict=True):
        only = ",readonly" if target == INSIDE.resource else ""
        words += ["--mount", f'type=bind,"source={source}",target={target}{only}']
    return words


def _called(words: list[str], environ: Mapping[str, str], directory: str, around: Around = TERMINAL) -> int:
    _tell(f"running {words[0]} in {directory}")
    try:
        _, stdin, stdout, stderr = around
        done = subprocess.run(
            words, env=dict(environ), cwd=directory, check=False, stdin=stdin, stdout=stdout, stderr=stderr
        )
    except OSError as err:
        raise Refused(f"cannot start {words[0]!r}: {err.strerror}") from err
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


def _tell(text: str) -> None:
    print(f"longshore-agent: {text}", file=sys.stderr, flush=True)
