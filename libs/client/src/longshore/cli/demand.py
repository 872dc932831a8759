"""`longshore demand`: what waits for machines, in which shapes and since when."""

from typing import TYPE_CHECKING, Annotated

import typer

from longshore.cli import live
from longshore.cli.words import Json

if TYPE_CHECKING:
    from longshore_common.demand import BatchDemand, Shape, Waiting

Batch = Annotated[
    str, typer.Option("-b", "--batch", metavar="NAME", help="of this batch only", autocompletion=live.batches)
]


def register(root: typer.Typer) -> None:
    """Add this command."""
    root.command()(demand)


def demand(*, batch: Batch = "", as_json: Json = False) -> None:
    """What waits and finds no place, in which shapes, since when, and how many of it the workers run at once."""
    import msgspec

    from longshore.cli.door import Door
    from longshore.cli.printing import note, raw_lines, table
    from longshore.specs import batch_name
    from longshore_common.clock import SystemClock

    name = batch_name(batch) if batch else ""
    found = Door().write(lambda writer: writer.demand(name))
    if as_json:
        raw_lines(msgspec.json.encode(each) for each in found)
        return
    now = SystemClock().now()
    table(HEADS, (row(each, waiting, now) for each in found for waiting in each.waiting))
    for each in found:
        if each.capped:
            note(
                f"{each.capped} more of {each.batch} wait for a limit, no machine: longshore explain --batch {each.batch}"
            )
        if each.more:
            note(f"{each.more} more tasks of {each.batch} in other shapes")
    if not found:
        note("nothing waits")


HEADS = ("batch", "tasks", "ahead", "priority", "asks for", "waits", "work", "slots", "paused")


def row(batch: "BatchDemand", waiting: "Waiting", now: float) -> tuple[object, ...]:
    """One shape of one batch."""
    from longshore.quantities import about

    work = about(waiting.seconds) if waiting.seconds >= 0 else None
    return (
        batch.batch, waiting.tasks, waiting.ahead, waiting.priority, asks_for(waiting.shape),
        about(max(0.0, now - waiting.since)), work, waiting.slots, batch.paused,
    )  # fmt: skip


def asks_for(shape: "Shape") -> str:
    """`8 cpus 32 GiB memory 1 gpu container, or 4 cpus`; a task that asks for nothing: `a slot`."""
    from longshore.quantities import shown_size

    words = [f"{shape.cpus:g} cpu{'s' * (shape.cpus != 1)}"] if shape.cpus else []
    words += [f"{shown_size(shape.memory)} memory"] if shape.memory else []
    words += [f"{shape.gpus} gpu{'s' * (shape.gpus != 1)}"] if shape.gpus else []
    words += [f"{shown_size(shape.disk)} disk"] if shape.disk else []
    words += [f"{amount:g} {name}" for name, amount in shape.custom]
    own = " ".join(words or ["a slot"]) + (" container" if shape.container else "")
    return ", or ".join([own, *map(asks_for, shape.alternatives)])
