"""Removing what ended tasks left in storage, by order: nothing that Longshore did not put there.

What must not enter: which tasks, and when.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from longshore_agent.adapters.staging.publishing import drop_below, found_below, read_manifest
from longshore_agent.core.ports import Sweep
from longshore_common.errors import BadInput
from longshore_common.ids import AttemptId
from longshore_data import uri
from longshore_data.storage import Storage
from longshore_data.store import Store, StoreError
from longshore_data.uri import Location

#: Inputs are removed only below such a folder: what was uploaded at submission lies there, nothing else.
MANAGED: Final = f"/{uri.RESERVED}/inputs/"
Left = list[tuple[str, str]]


class Sweeper:
    """Removes things of one task; `removed` and `left` are the answer."""

    def __init__(self, storage: Storage, sweep: Sweep) -> None:
        self._storage, self._sweep = storage, sweep
        self.removed = 0
        self.left: Left = []

    async def run(self) -> None:
        """Remove what the order says."""
        spec = self._sweep.spec
        if self._sweep.what == "inputs":
            for text in (*spec.inputs, *spec.resources):
                await self._try(text, lambda text=text: self._input(text))  # type: ignore[misc]
        elif spec.output and self._sweep.what == "outputs":
            await self._try(spec.output, self._outputs)
        elif spec.output and self._sweep.what == "failed":
            task, _, last = self._sweep.attempt.rpartition(".")
            for n in range(1, int(last) + 1):
                await self._try(spec.output, lambda n=n: self._private(AttemptId(f"{task}.{n}")))  # type: ignore[misc]
            await self._try(spec.output, self._checkpoint)

    async def _try(self, text: str, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except StoreError as err:
            if not err.missing:
                self.left.append((text, str(err)))
        except BadInput as err:
            self.left.append((text, str(err)))

    def _output(self) -> tuple[Store, Location]:
        output = uri.parse_output(self._sweep.spec.output or "")
        return self._storage.of(output), output

    async def _outputs(self) -> None:
        """The files, and then the manifest that names them: a sweep that was cut short finds it again."""
        store, output = self._output()
        known = await read_manifest(store, output, self._sweep.task)
        if known is None:
            return
        await store.drop(output, [uri.safe_path(f.path) for f in known.files])
        await store.drop(output, [f"{uri.RESERVED}/{uri.manifest(output, self._sweep.task).name}"])
        self.removed += len(known.files) + 1

    async def _private(self, attempt: AttemptId) -> None:
        store, output = self._output()
        self.removed += await drop_below(store, uri.private(output, attempt))

    async def _checkpoint(self) -> None:
        store, output = self._output()
        self.removed += await drop_below(store, uri.checkpoint(output, self._sweep.task))

    async def _input(self, text: str) -> None:
        place = uri.source(text).place
        above, ours, below = f"/{place.key}".partition(MANAGED)
        if not ours:
            return  # the user's own
        store, root = self._storage.of(place), place._replace(key=above[1:], folder=True)
        if place.folder:
            below = f"{below}/"
            paths = [f"{below}{f.path}" for f in await found_below(store, place)]
        else:
            await store.stat(place)
            paths = [below]
        await store.drop(root, [ours[1:] + path for path in paths])
        self.removed += len(paths)
