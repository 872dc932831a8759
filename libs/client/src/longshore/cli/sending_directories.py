"""`longshore dir submit`: from its words to tasks, a line for each directory, and the exit code.

What must not enter: how a directory becomes a task (`longshore.dir`).
"""

import os
from collections.abc import Sequence
from typing import Any

import msgspec

from longshore import quantities, specs
from longshore.cli.configured import configured
from longshore.cli.directories import named, range_of, relative, with_shelf
from longshore.cli.door import Door
from longshore.cli.printing import data, note, progress, raw_lines, table
from longshore.dir.contents import Guard
from longshore.dir.marker import Home, said
from longshore.dir.places import Shelf
from longshore.dir.submitting import Outcome, Submitting, Wanted, look, summed
from longshore.quantities import shown_size
from longshore_common.errors import BadInput, LongshoreError


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """The options as they were typed; see `longshore dir submit --help`."""

    image: str
    command: list[str]
    change: list[str] = []
    many: str | None = None
    cores: float
    memory: str
    gpus: int
    time: str
    name: str | None = None
    retry: int
    env: list[str] = []
    priority: int
    to: str | None = None
    max_size: str
    max_files: int
    again: bool
    dry_run: bool
    wait: bool
    quiet: bool
    as_json: bool


def submitted(given: Given) -> int:
    """Submit, print a line for each, and wait if asked; the exit code."""
    door = Door()
    homes = [Home(word) for word in named(given.change, given.many)] or [Home(".")]
    wanted = _wanted(given, door)
    if given.dry_run:
        return _tried(homes, wanted, as_json=given.as_json)
    done: list[Outcome] = []

    def told(outcome: Outcome) -> None:
        done.append(outcome)
        _tell(outcome, len(homes), given)
        if not given.quiet:
            progress(f"{len(done)}/{len(homes)} directories")

    async def sending(writer: Any) -> list[Outcome]:
        async def work(shelf: Shelf) -> list[Outcome]:
            return await Submitting(writer, door.reader, shelf, wanted).many(homes, told)

        return await with_shelf(work)

    outcomes = door.write(sending)
    progress("")
    if len(homes) > 1 and not given.quiet:
        note(_sum(outcomes))
    code = summed(outcomes)
    if given.wait and any(outcome.ok for outcome in outcomes):
        from longshore.cli.waits import wait_for

        ranges = tuple(range_of(outcome.task) for outcome in outcomes if outcome.ok)
        code = wait_for(door, ranges, timeout=None, quiet=given.quiet) or code
    return code


def _wanted(given: Given, door: Door) -> Wanted:
    settings = configured(os.environ).value
    running = {
        "cpus": given.cores, "memory": quantities.size(given.memory), "gpus": given.gpus, "retries": given.retry,
        "run_timeout": quantities.duration(given.time), "env": quantities.pairs(given.env),
    }  # fmt: skip
    return Wanted(
        image=given.image,
        command=tuple(given.command),
        store="" if given.dry_run else _store(given.to or settings.dir_store, door),
        batch=specs.batch_name(given.name or settings.batch),
        running={name: value for name, value in running.items() if value},
        priority=given.priority,
        guard=Guard(quantities.size(given.max_size), given.max_files),
        again=given.again,
    )


def _store(named: str, door: Door) -> str:
    """Where directories go: what was said, else below the state directory of a stack that is on this computer."""
    if named:
        return specs.uri(named, cwd=os.getcwd())
    if (door.state_dir / "stack.json").exists():
        return f"file://{door.state_dir}/directories/"
    raise BadInput(
        "say where directories are stored: with --to or LONGSHORE_DIR_STORE a folder that workers reach, such as "
        "s3://bucket/longshore/"
    )


def _tell(outcome: Outcome, many: int, given: Given) -> None:
    if given.as_json:
        raw_lines([msgspec.json.encode(outcome)])
        return
    if outcome.ok:
        data(outcome.task if many == 1 else f"{outcome.task}\t{_shown(outcome)}")
    if not outcome.ok or (many == 1 and outcome.text and not given.quiet):
        note(f"{_shown(outcome)}: {outcome.text}")
    if many == 1 and outcome.result == "submitted" and not given.quiet:
        note(
            f"{shown_size(outcome.sent)} sent" + (f", {shown_size(outcome.known)} there already" * bool(outcome.known))
        )


def _shown(outcome: Outcome) -> str:
    return relative(Home(outcome.directory))


def _sum(outcomes: Sequence[Outcome]) -> str:
    new = [outcome for outcome in outcomes if outcome.result == "submitted"]
    before, failed = (sum(o.result == word for o in outcomes) for word in ("already", "failed"))
    sent, known = sum(o.sent for o in new), sum(o.known for o in new)
    return (
        f"{len(new)} submitted, {before} submitted before, {failed} not submitted; "
        f"{shown_size(sent)} sent, {shown_size(known)} there already"
    )


def _tried(homes: Sequence[Home], wanted: Wanted, *, as_json: bool) -> int:
    """What would be sent of each."""
    outcomes = []
    for home in homes:
        try:
            found = look(home, wanted.guard)
            text = f"{len(found.files)} files, {shown_size(found.size)}"
            outcome = Outcome(directory=str(home), result="would-be", text=text, sent=found.size)
            if not as_json and len(homes) == 1:
                table(("bytes", "path"), ((leaf.size, leaf.path) for leaf in found.leaves))
        except LongshoreError as err:
            outcome = Outcome(directory=str(home), result="failed", text=said(err), exit_code=err.exit_code)
        outcomes.append(outcome)
        if as_json:
            raw_lines([msgspec.json.encode(outcome)])
        else:
            note(f"{_shown(outcome)}: {outcome.text}")
    return summed(outcomes)
