"""Connects what this host keeps with who may want it gone: operators, and a disk that fills up.

What must not enter: keeping and removing.
"""

from longshore_agent.adapters.cache import Cache
from longshore_agent.adapters.workdirs import WorkDirs
from longshore_agent.core.ports import ContainerEngine
from longshore_agent.service.agent import Beside
from longshore_common import inside


def wire(beside: Beside, dirs: WorkDirs, cache: Cache | None, engine: ContainerEngine) -> None:
    """Kept directories go before resources that nobody uses."""

    async def clean() -> tuple[str, int]:
        number = dirs.number_kept
        return f"removed {number} kept work director{'y' if number == 1 else 'ies'}", await dirs.clean()

    async def forget() -> tuple[str, int]:
        if cache is None:
            return "this worker keeps no resources", 0
        number = len(cache.keys())
        return f"forgot {number} resource{'s' * (number != 1)}; those in use go when their attempts end", cache.forget()

    async def make_room(lacking: int) -> None:
        freed = dirs.give_up(lacking)
        if cache is not None and freed < lacking:
            cache.trim(lacking - freed)

    async def prune() -> tuple[str, int]:
        held = beside.errands.desk.attempts.held.values()
        return await engine.prune({image for a in held for image in inside.images(a.order.spec)})

    beside.errands.chores["prune-images"] = prune
    beside.errands.chores["clean"] = clean
    beside.errands.chores["forget-resources"] = forget
    beside.watch.make_room = make_room
