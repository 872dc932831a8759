"""Secrets in the SDK: sealed in this process for the workers that hold them. What must not enter: keeping values."""

import asyncio
from collections.abc import Mapping, Sequence

from longshore import records
from longshore.governing import PATIENCE
from longshore.reader import Reader
from longshore.sharing import confided, meant
from longshore.writer import Writer
from longshore_common.confidential import Sheet
from longshore_common.errors import BadInput, Refused
from longshore_common.events import SecretShared


class Confiding:
    """The SDK's part for this: reads by HTTP, wishes into the log. `owner`: whose secrets these are."""

    def __init__(self, reader: Reader, writer: Writer, owner: str) -> None:
        self._reader, self._writer, self._owner = reader, writer, owner

    async def secrets(self) -> tuple[records.Secret, ...]:
        """This user's secrets, and which workers hold them; an admin's: of all. Nobody sees values."""
        return await asyncio.to_thread(lambda: tuple(self._reader.secrets()))

    async def set_secret(self, name: str, value: str | Mapping[str, str], *, workers: Sequence[str] = ()) -> int:
        """Tasks of this user that name the secret find `value` in the variable `name`, or several variables.

        For all workers that have joined, or those named; others get it by another call. The sequence of the wish; a task
        submitted from then on waits for a worker that holds it. `BadInput`, which shows no value; `Refused`.
        """
        values = {name: value} if isinstance(value, str) else dict(value)
        if not any(values.values()):
            raise BadInput("the value is empty: nothing was changed; `delete_secret` removes a secret")
        found = await asyncio.to_thread(lambda: meant(self._reader.workers(), workers))
        if not found.workers:
            raise BadInput(
                "there is no worker that it could be given to: " + ("; ".join(found.others) or "none has joined")
            )
        seq = 0
        for event in confided(Sheet(owner=self._owner, name=name, values=values), found.workers):
            seq = await self._wish(event)
        return seq

    async def delete_secret(self, name: str) -> int:
        """All workers forget it; what runs keeps what it was given. `Refused` if there is none."""
        return await self._wish(SecretShared(name=name))

    async def _wish(self, event: SecretShared) -> int:
        seq = await self._writer.wish(event)
        answer = await asyncio.to_thread(self._reader.answer, seq, wait=PATIENCE)
        if answer.answer == "refused":
            raise Refused(f"refused: {answer.reason}")
        return seq
