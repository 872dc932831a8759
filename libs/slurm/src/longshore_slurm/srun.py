"""srun: inside a job it runs the command there, so many times as it says; outside it is a job that is waited for."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import IO, Final

from longshore_common.errors import BadInput, NotFound, Unreachable
from longshore_slurm import sbatch, submission, waiting
from longshore_slurm.door import Door
from longshore_slurm.jobscript import wrapped
from longshore_slurm.options import Read, over, read
from longshore_slurm.sbatch_options import SBATCH

_STREAMS: Final = ("stdout", "stderr")


def run(words: list[str], environ: Mapping[str, str]) -> int:
    """Run the command; its exit code, or the highest of several."""
    options = read(SBATCH, words, permute=False)
    if options.has("help") or options.has("usage"):
        print("Usage: srun [OPTION...] COMMAND [ARGUMENT...]: see docs/manual/slurm.md")
        return 0
    if not options.rest:
        raise BadInput("no command given")
    if environ.get("SLURM_JOB_ID"):
        return _here(options, dict(environ))
    return _as_job(options, environ)


def _here(options: Read, environ: dict[str, str]) -> int:
    """A step of the job that this is."""
    tasks = options.last("ntasks") or ("1" if options.has("nodes") else environ.get("SLURM_NTASKS", "1"))
    if not tasks.isdigit() or tasks == "0":
        raise BadInput(f"Invalid numeric value {tasks!r} for --ntasks")
    if (where := options.last("chdir")) is not None:
        os.chdir(where)
    environ["SLURM_STEP_ID"] = environ["SLURM_STEPID"] = "0"
    environ["SLURM_STEP_NUM_TASKS"] = environ["SLURM_NTASKS"] = environ["SLURM_NPROCS"] = tasks
    if (cores := options.last("cpus-per-task")) is not None:
        environ["SLURM_CPUS_PER_TASK"] = cores
    environ["SLURM_STEP_NODELIST"] = environ.get("SLURM_JOB_NODELIST", "")
    _redirect(options, environ)
    if tasks == "1":
        try:
            os.execvpe(options.rest[0], options.rest, environ)
        except OSError as err:
            raise BadInput(f"{options.rest[0]}: {err.strerror}") from err
    return _several(options, environ, int(tasks))


def _redirect(options: Read, environ: Mapping[str, str]) -> None:
    names = {
        "%j": environ["SLURM_JOB_ID"],
        "%J": f"{environ['SLURM_JOB_ID']}.0",
        "%x": environ.get("SLURM_JOB_NAME", ""),
    }
    for number, name in ((0, "input"), (1, "output"), (2, "error")):
        path = options.last(name)
        if path in (None, "none", "all"):
            continue
        assert path is not None  # the line above
        for sign, word in names.items():
            path = path.replace(sign, word)
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(path, flags, 0o666), number)
        if number == 1 and not options.has("error"):
            os.dup2(1, 2)


def _several(options: Read, environ: Mapping[str, str], tasks: int) -> int:
    started: list[subprocess.Popen[bytes]] = []
    for rank in range(tasks):
        own = {**environ, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
        try:
            started.append(
                subprocess.Popen(options.rest, env=own, stdout=subprocess.PIPE if options.has("label") else None)
            )
        except OSError as err:
            raise BadInput(f"{options.rest[0]}: {err.strerror}") from err

    def passed_on(number: int, _: object) -> None:
        for one in started:
            one.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, passed_on)
    labels = [
        threading.Thread(target=_labelled, args=(rank, one.stdout)) for rank, one in enumerate(started) if one.stdout
    ]
    for label in labels:
        label.start()
    codes = [one.wait() for one in started]
    for label in labels:
        label.join()
    return max(128 - code if code < 0 else code for code in codes)


def _labelled(rank: int, stream: IO[bytes]) -> None:
    for line in stream:
        sys.stdout.buffer.write(b"%d: " % rank + line)
        sys.stdout.buffer.flush()


def _as_job(options: Read, environ: Mapping[str, str]) -> int:
    """Submit it, show its output as it comes, and end with its code; Ctrl-C cancels it."""
    import shlex

    door = Door(environ)
    name = options.last("job-name") or os.path.basename(options.rest[0])
    kept = Read(over(SBATCH, {"output": ["-"]}, options.options, {"job-name": [name]}), [], options.unknown)
    sbatch.warned(kept, "srun")
    several = (options.last("ntasks") or "1") != "1"
    line = f"exec {'srun ' if several else ''}{shlex.join(options.rest)}"
    wish = sbatch.prepared(door, kept, submission.Script(wrapped(line), (), name))
    number = sbatch.sent(door, wish, kept)
    print(f"srun: job {number} queued and waiting for resources", file=sys.stderr)
    try:
        return _followed(door, number)
    except KeyboardInterrupt:
        from longshore_common.ids import SubmissionId, TaskRange
        from longshore_slurm.scancel import cancel

        cancel(door, [TaskRange(SubmissionId(number), 0, 0)])
        raise


def _followed(door: Door, number: int) -> int:
    from longshore.reader import Reader

    task = f"{number}.0"

    def following(stream: str, out: IO[bytes]) -> None:
        reader = Reader(door.profile, door.bookmark)
        while True:
            try:
                for data in reader.logs(task, stream=stream, follow=True):
                    out.write(data)
                    out.flush()
                return
            except (NotFound, Unreachable):
                continue

    readers = [
        threading.Thread(target=following, args=(stream, getattr(sys, stream).buffer), daemon=True)
        for stream in _STREAMS
    ]
    for reader in readers:
        reader.start()
    code = waiting.code(door, number, 1)
    for reader in readers:
        reader.join(10)
    return code
