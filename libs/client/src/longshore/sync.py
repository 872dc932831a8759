"""The SDK for everyone who does not write asyncio: the same verbs, each waits for its answer.

Writes run on a loop in a thread of the client's own, so that it works in scripts, notebooks and inside other event
loops alike. Reads go straight to the api. What must not enter: behaviour of its own.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from longshore import records
from longshore.client import AsyncClient, SubmitOptions
from longshore.editing import Replacement
from longshore.governing import Kind, Ruling, Shared
from longshore.reader import TaskFilters
from longshore.showing import Rows
from longshore.steering import Tasks, Time
from longshore.waiting import Watch
from longshore_common import model as m
from longshore_common.events import Event
from longshore_common.ids import TaskRange
from longshore_common.log import Transport
from longshore_common.profile import Profile

if TYPE_CHECKING:
    from longshore.dir.desk import Directory, DirectoryOptions
    from longshore.dir.fetching import Got
    from longshore.dir.submitting import Outcome
    from longshore.dir.tending import DirectoryTask

R = TypeVar("R")


class Client:
    """One user's door to one stack; use it as `with`. All verbs are those of `AsyncClient`, and mean the same."""

    def __init__(  # noqa: PLR0913 -- each has a default
        self,
        directory: str | Path | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        profile: Profile | None = None,
        transport: Transport | None = None,
        deadline: float = 10,
        spool: bool = False,
    ) -> None:
        self._client = AsyncClient(
            directory, environ=environ, profile=profile, transport=transport, deadline=deadline, spool=spool
        )
        self.people = self._client.people
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="longshore-client", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let all connections go; submitted tasks go on. A repeat does nothing."""
        if self._loop.is_closed():
            return
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, R]) -> R:
        """Do it on the client's loop; Ctrl-C here cancels the waiting, never the tasks."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    # --- submitting -------------------------------------------------------------------------------------------------

    def submit(self, command: Sequence[str] | str, **options: Unpack[SubmitOptions]) -> records.Submitted:
        """See `AsyncClient.submit`."""
        return self._run(self._client.submit(command, **options))

    def submit_array(
        self, command: Sequence[str] | str, array: int | str | Sequence[str], **options: Unpack[SubmitOptions]
    ) -> records.Submitted:
        """See `AsyncClient.submit_array`."""
        return self._run(self._client.submit_array(command, array, **options))

    def submit_many(
        self, tasks: Iterable[m.TaskSpec | Mapping[str, Any]], **options: Unpack[SubmitOptions]
    ) -> records.Submitted:
        """See `AsyncClient.submit_many`; the iterable is consumed in the client's own thread."""
        return self._run(self._client.submit_many(tasks, **options))

    def flush(self) -> int:
        """See `AsyncClient.flush`."""
        return self._run(self._client.flush())

    @property
    def spooled(self) -> int:
        """See `AsyncClient.spooled`."""
        return self._client.spooled

    # --- directories ------------------------------------------------------------------------------------------------

    def submit_directories(
        self, directories: "Iterable[Directory]", image: str, command: Sequence[str], store: str,
        **options: "Unpack[DirectoryOptions]",
    ) -> "Rows[Outcome]":  # fmt: skip
        """See `Directories.submit`."""
        return self._run(self._client.directories.submit(directories, image, command, store, **options))

    def get_directory(self, directory: "Directory", *, force: bool = False) -> "Got":
        """See `Directories.get`."""
        return self._run(self._client.directories.get(directory, force=force))

    def directory_standings(self, *directories: "Directory") -> "Rows[DirectoryTask]":
        """See `Directories.standing`."""
        return self._run(self._client.directories.standing(*directories))

    def prune_directory(self, directory: "Directory", *, fetched_only: bool = False, force: bool = False) -> int:
        """See `Directories.prune`."""
        return self._run(self._client.directories.prune(directory, fetched_only=fetched_only, force=force))

    # --- waiting ----------------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Start to hear of progress before submitting, to lose no millisecond."""
        self._run(self._client.listen())

    def wait(
        self,
        submission: records.Submitted | int,
        *,
        timeout: float | None = None,
        watch: Watch | None = None,
        projected: bool = False,
    ) -> records.Progress:
        """See `AsyncClient.wait`; `watch` is called in the client's own thread."""
        return self._run(self._client.wait(submission, timeout=timeout, watch=watch, projected=projected))

    def join(
        self, *submissions: records.Submitted | int, retry: int = 0, timeout: float | None = None
    ) -> Rows[records.Progress]:
        """See `AsyncClient.join`."""
        return self._run(self._client.join(*submissions, retry=retry, timeout=timeout))

    def as_completed(self, submission: records.Submitted | int) -> Iterator[records.Task]:
        """See `AsyncClient.as_completed`."""
        found = self._client.as_completed(submission)

        async def following() -> records.Task | None:
            return await anext(found, None)

        while (task := self._run(following())) is not None:
            yield task

    # --- looking ----------------------------------------------------------------------------------------------------

    def tasks(self, *, limit: int | None = None, **filters: Unpack[TaskFilters]) -> Iterator[records.Task]:
        """See `AsyncClient.tasks`."""
        return self._client.reader.tasks(limit=limit, **filters)

    def task(self, task: str) -> records.Task:
        """See `AsyncClient.task`."""
        return self._client.reader.task(task)

    def attempts(self, task: str) -> Rows[records.Attempt]:
        """See `AsyncClient.attempts`."""
        return Rows(self._client.reader.attempts(task))

    def submission(self, submission: records.Submitted | int) -> records.Submission:
        """See `AsyncClient.submission`."""
        return self._run(self._client.submission(submission))

    def batches(self) -> Rows[records.Batch]:
        """See `AsyncClient.batches`."""
        return Rows(self._client.reader.batches())

    def batch(self, name: str) -> records.Batch:
        """See `AsyncClient.batch`."""
        return self._client.reader.batch(name)

    def workers(self) -> Rows[records.Worker]:
        """See `AsyncClient.workers`."""
        return Rows(self._client.reader.workers())

    def worker(self, name: str) -> records.Worker:
        """See `AsyncClient.worker`."""
        return self._client.reader.worker(name)

    def metrics(self, worker: str, since: str | None = None) -> records.Metrics:
        """See `AsyncClient.metrics`."""
        return self._client.reader.metrics(worker, since)

    def logs(
        self, task: str, *, stream: str = "stdout", attempt: int | None = None, offset: int = 0, follow: bool = False
    ) -> Iterator[bytes]:
        """See `AsyncClient.logs`."""
        return self._client.reader.logs(task, stream=stream, attempt=attempt, offset=offset, follow=follow)

    def history(self, name: str, *, kind: str = "tasks") -> Rows[records.HistoryEntry]:
        """See `AsyncClient.history`."""
        return Rows(self._client.reader.history(kind, name))

    def explain(self, name: str, *, kind: str = "task") -> records.Explanation:
        """See `AsyncClient.explain`."""
        return self._run(self._client.explain(name, kind=kind))

    def ranges(self, tasks: Tasks) -> tuple[TaskRange, ...]:
        """See `AsyncClient.ranges`."""
        return self._run(self._client.ranges(tasks))

    # --- steering ---------------------------------------------------------------------------------------------------

    def cancel(self, tasks: Tasks = (), *, batch: str | None = None, kill: bool = False) -> int:
        """See `AsyncClient.cancel`."""
        return self._run(self._client.cancel(tasks, batch=batch, kill=kill))

    def retry(self, tasks: Tasks = (), *, batch: str | None = None) -> int:
        """See `AsyncClient.retry`."""
        return self._run(self._client.retry(tasks, batch=batch))

    def edit(
        self,
        tasks: Tasks = (),
        *,
        batch: str | None = None,
        set: Mapping[str, object] = {},
        replace: Iterable[Replacement] = (),
    ) -> int:
        """See `AsyncClient.edit`."""
        return self._run(self._client.edit(tasks, batch=batch, set=set, replace=replace))

    def preview(self, wish: Event) -> records.Preview:
        """See `AsyncClient.preview`."""
        return self._run(self._client.preview(wish))

    def delete(self, tasks: Tasks = (), *, batch: str | None = None, restore: bool = False) -> int:
        """See `AsyncClient.delete`."""
        return self._run(self._client.delete(tasks, batch=batch, restore=restore))

    def undo(self, request: int = 0) -> int:
        """See `AsyncClient.undo`."""
        return self._run(self._client.undo(request))

    def move_workers(self, batch: str, *workers: str) -> int:
        """See `AsyncClient.move_workers`."""
        return self._run(self._client.move_workers(batch, *workers))

    def signal(self, tasks: Tasks, signal: str) -> int:
        """See `AsyncClient.signal`."""
        return self._run(self._client.signal(tasks, signal))

    def pause_batch(self, batch: str, *, freeze: bool = False) -> int:
        """See `AsyncClient.pause_batch`."""
        return self._run(self._client.pause_batch(batch, freeze=freeze))

    def resume_batch(self, batch: str) -> int:
        """See `AsyncClient.resume_batch`."""
        return self._run(self._client.resume_batch(batch))

    def keep_batch(self, batch: str, *, outputs: Time = 0, logs: Time = 0, failed: Time = 0, inputs: Time = 0) -> int:
        """See `AsyncClient.keep_batch`."""
        return self._run(self._client.keep_batch(batch, outputs=outputs, logs=logs, failed=failed, inputs=inputs))

    def pause_workers(self, *workers: str, drain: bool = False) -> int:
        """See `AsyncClient.pause_workers`."""
        return self._run(self._client.pause_workers(*workers, drain=drain))

    def care_for_workers(self, care: m.Care, *workers: str) -> int:
        """See `AsyncClient.care_for_workers`."""
        return self._run(self._client.care_for_workers(care, *workers))

    def resume_workers(self, *workers: str) -> int:
        """See `AsyncClient.resume_workers`."""
        return self._run(self._client.resume_workers(*workers))

    def set_share(self, kind: Kind, name: str, *, weight: float | None = None, max_running: int | None = None) -> int:
        """See `Governing.set_share`."""
        return self._run(self._client.governing.set_share(kind, name, weight=weight, max_running=max_running))

    def shares(self) -> tuple[Shared, ...]:
        """See `Governing.shares`."""
        return self._run(self._client.governing.shares())

    def policy(self) -> Ruling:
        """See `Governing.policy`."""
        return self._run(self._client.governing.policy())

    def set_policy(self, **changes: object) -> int:
        """See `Governing.set_policy`."""
        return self._run(self._client.governing.set_policy(**changes))

    def reset_policy(self, *names: str) -> int:
        """See `Governing.reset_policy`."""
        return self._run(self._client.governing.reset_policy(*names))

    def secrets(self) -> tuple[records.Secret, ...]:
        """See `Confiding.secrets`."""
        return self._run(self._client.confiding.secrets())

    def set_secret(self, name: str, value: str | Mapping[str, str], *, workers: Sequence[str] = ()) -> int:
        """See `Confiding.set_secret`."""
        return self._run(self._client.confiding.set_secret(name, value, workers=workers))

    def delete_secret(self, name: str) -> int:
        """See `Confiding.delete_secret`."""
        return self._run(self._client.confiding.delete_secret(name))

    def resize_workers(
        self, *workers: str, concurrency: int | str | None = None, prefetch: int | str | None = None
    ) -> int:
        """See `AsyncClient.resize_workers`."""
        return self._run(self._client.resize_workers(*workers, concurrency=concurrency, prefetch=prefetch))
