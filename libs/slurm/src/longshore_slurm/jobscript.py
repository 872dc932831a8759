"""What a job's task runs: a wrapper around the batch script that makes of it what a job of Slurm expects.

Variables, working directory, files of output by their patterns, then the script as a program of its own. Plain POSIX sh,
so that a worker needs nothing. It begins in its own directory, which may lie where only the agent's user can go: then the
script is reached as an open file. Pure. What must not enter: options, the log.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from longshore_common.errors import BadInput

#: What a job's own number begins with where it is an element of an array: see `numbers`.
ELEMENT: Final = 10**15
#: Elements that one array may have, and so the distance of two arrays' numbers.
WIDTH: Final = 10**7
#: The name under which the wrapper runs; it tells tasks of these commands from others.
MARK: Final = "longshore-slurm"
#: Characters of the script in one variable: a quarter of what Linux passes, whatever their length in bytes.
_PIECE: Final = 32_000
_MOST_PIECES: Final = 30
#: Words of the command before the wrapper's own arguments: sh -c TEXT MARK.
_HEAD: Final = 4
#: The wrapper's own arguments before the script's.
_OWN: Final = 7
_WRAPPER: Final = "LONGSHORE_SLURM_WRAPPER"
_SCRIPT: Final = "LONGSHORE_SLURM_SCRIPT_"
_RUN: Final = f'eval "${_WRAPPER}"'

WRAPPER: Final = r"""
dir=$1 out=$2 err=$3 in=$4 mode=$5 array=$6; shift 7
unset SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID
if [ -n "${LONGSHORE_SLURM_ENV:-}" ]; then
    if [ -r "$LONGSHORE_SLURM_ENV" ]; then . "$LONGSHORE_SLURM_ENV"
    else echo "longshore-slurm: $LONGSHORE_SLURM_ENV cannot be read here: credentials are missing" >&2; fi
fi
SLURM_JOB_ID=$LONGSHORE_SUBMISSION
if [ -n "$array" ]; then
    export SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID
    SLURM_ARRAY_JOB_ID=$LONGSHORE_SUBMISSION
    SLURM_ARRAY_TASK_ID=${LONGSHORE_ENTRY:-$LONGSHORE_INDEX}
    SLURM_JOB_ID=$((1000000000000000 + LONGSHORE_SUBMISSION * 10000000 + ${LONGSHORE_TASK##*.}))
fi
SLURM_JOBID=$SLURM_JOB_ID
SLURM_JOB_NODELIST=$(uname -n); SLURM_JOB_NODELIST=${SLURM_JOB_NODELIST%%.*}
SLURM_NODELIST=$SLURM_JOB_NODELIST SLURMD_NODENAME=$SLURM_JOB_NODELIST
SLURM_CPUS_ON_NODE=${CPU:-1} SLURM_JOB_CPUS_PER_NODE=${CPU:-1} SLURM_TASK_PID=$$
SLURM_RESTART_COUNT=$((${LONGSHORE_ATTEMPT##*.} - 1))
SLURM_JOB_START_TIME=$(date +%s)
export SLURM_JOB_ID SLURM_JOBID SLURM_JOB_NODELIST SLURM_NODELIST SLURMD_NODENAME SLURM_CPUS_ON_NODE
export SLURM_JOB_CPUS_PER_NODE SLURM_TASK_PID SLURM_RESTART_COUNT SLURM_JOB_START_TIME
if [ -n "${SLURM_MEM_PER_NODE:-}" ] && [ -n "${MEM:-}" ]; then SLURM_MEM_PER_NODE=$((MEM / 1048576)); fi
if [ -n "${LONGSHORE_GPUS:-}" ]; then export SLURM_JOB_GPUS="$LONGSHORE_GPUS" SLURM_STEP_GPUS="$LONGSHORE_GPUS"; fi
if [ ! -d "${TMPDIR:-}" ]; then unset TMPDIR; if [ -d "$TEMP" ]; then export TMPDIR="$TEMP"; fi; fi
if [ -n "${SLURM_UMASK:-}" ]; then umask "$SLURM_UMASK"; fi
: > slurm_script && chmod 700 slurm_script || exit 1
piece=0
while eval "[ -n \"\${LONGSHORE_SLURM_SCRIPT_$piece:-}\" ]"; do
    eval "printf %s \"\$LONGSHORE_SLURM_SCRIPT_$piece\"" >> slurm_script || exit 1
    unset "LONGSHORE_SLURM_SCRIPT_$piece"
    piece=$((piece + 1))
done
unset LONGSHORE_SLURM_WRAPPER LONGSHORE_SLURM_ENV
script=$TEMP/slurm_script
if [ ! -x "$script" ]; then exec 9< slurm_script; script=/proc/self/fd/9; fi
expand() {
    rest=$1 found=
    while :; do
        case $rest in
            *%*) found=$found${rest%%\%*} rest=${rest#*%} ;;
            *) found=$found$rest; return ;;
        esac
        width=
        while :; do case $rest in [0-9]*) width=$width${rest%"${rest#?}"} rest=${rest#?} ;; *) break ;; esac; done
        letter=${rest%"${rest#?}"} rest=${rest#?}
        case $letter in
            j | J) word=$SLURM_JOB_ID ;;
            A) word=$LONGSHORE_SUBMISSION ;;
            a) word=${SLURM_ARRAY_TASK_ID:-4294967294} ;;
            N) word=$SLURMD_NODENAME width= ;;
            n | t) word=0 ;;
            s) word=batch width= ;;
            u) word=${SLURM_JOB_USER:-} width= ;;
            x) word=${SLURM_JOB_NAME:-} width= ;;
            %) word=% width= ;;
            *) word=%$width$letter width= ;;
        esac
        while [ "${#word}" -lt "${width:-0}" ]; do word=0$word; done
        found=$found$word
    done
}
cd "$dir" || exit 1
if [ "$out" != - ]; then
    expand "$out"; out=$found
    expand "$err"; err=$found
    case $out in /*) echo "stdout: $out" ;; *) echo "stdout: $PWD/$out" ;; esac
    [ "$mode" = append ] || : > "$out" || exit 1
    exec >> "$out" || exit 1
    if [ -n "$err" ]; then
        [ "$mode" = append ] || : > "$err" || exit 1
        exec 2>> "$err"
    else
        exec 2>&1
    fi
fi
expand "$in"; in=$found
exec < "${in:-/dev/null}" || exit 1
exec "$script" "$@"
""".strip()


class Files(NamedTuple):
    """Where a job works and writes: patterns as of sbatch(1), "filename pattern".

    No `error`: where `output` goes; `output` `-`: both stay what the worker keeps of a task.
    """

    directory: str
    output: str
    error: str = ""
    input: str = ""
    append: bool = False


class Job(NamedTuple):
    """A job as its task's command tells it; `array` as it was asked for, "" for none.

    `facts`: what lists of jobs tell besides, such as `cpus`, so that no job has to be asked for by itself.
    """

    files: Files
    arguments: tuple[str, ...] = ()
    array: str = ""
    facts: Mapping[str, str] = {}


def command(job: Job) -> tuple[str, ...]:
    """The argv of a job: short, because lists show it. The wrapper and the script come by `variables`."""
    files = job.files
    mode = "append" if files.append else "truncate"
    facts = ";".join(f"{name}={value.replace(';', ' ')}" for name, value in job.facts.items() if value)
    words = (files.directory, files.output, files.error, files.input, mode, job.array, facts)
    return ("/bin/sh", "-c", _RUN, MARK, *words, *job.arguments)


def variables(script: str) -> dict[str, str]:
    """The variables that hold what runs; `BadInput` for a script that no kernel would start or no event would hold."""
    if not script.startswith("#!"):
        raise BadInput(
            "This does not look like a batch script. The first line must start with #! and name its program."
        )
    pieces = [script[at : at + _PIECE] for at in range(0, len(script), _PIECE)]
    if len(pieces) > _MOST_PIECES:
        most = _PIECE * _MOST_PIECES
        raise BadInput(f"the batch script has {len(script):,} characters, at most {most:,} are possible: call a file")
    named = {f"{_SCRIPT}{position}": piece for position, piece in enumerate(pieces)}
    return {_WRAPPER: WRAPPER, **named}


def script_of(environ: Mapping[str, str]) -> str:
    """The batch script that these variables hold, "" for none."""
    pieces: list[str] = []
    while (piece := environ.get(f"{_SCRIPT}{len(pieces)}")) is not None:
        pieces.append(piece)
    return "".join(pieces)


def of_command(words: Sequence[str]) -> Job | None:
    """The job that an argv is; None if it is none of ours."""
    if len(words) < _HEAD + _OWN or words[_HEAD - 1] != MARK:
        return None
    directory, output, error, read, mode, array, said = words[_HEAD : _HEAD + _OWN]
    facts = {name: value for name, _, value in (fact.partition("=") for fact in said.split(";")) if name}
    return Job(Files(directory, output, error, read, mode == "append"), tuple(words[_HEAD + _OWN :]), array, facts)


def wrapped(line: str) -> str:
    """The script of `--wrap`."""
    return f"#!/bin/sh\n# This script was created by sbatch --wrap.\n\n{line}\n"


def number(submission: int, ordinal: int) -> int:
    """The number of an element of an array, which no submission has; a job that is no array has its submission's."""
    return ELEMENT + submission * WIDTH + ordinal


def split_number(given: int) -> tuple[int, int] | None:
    """(submission, ordinal) of an element's number; None if it is no such number."""
    return divmod(given - ELEMENT, WIDTH) if given >= ELEMENT else None
