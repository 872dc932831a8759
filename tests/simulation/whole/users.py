"""A user who submits and wishes all through the storm, and says each thing again until the log has it."""

import asyncio

from longshore_common import events as e
from longshore_common.errors import Unreachable
from longshore_common.ids import TaskRange
from longshore_common.log import Entry
from longshore_common.model import Array, Change, Parts, Policy, Retention, Specs, Substitution, TaskSpec

from .wire import Wire

SPECS = (
    TaskSpec(command=("true",)),
    TaskSpec(command=("true",), retries=1),
    TaskSpec(command=("true",), output="file:///out/{index}", inputs=("s3://b/in",)),
    TaskSpec(command=("true",), cpus=1.5),
    TaskSpec(command=("true",), container="alpine", memory=3 << 30),
    TaskSpec(command=("true",), memory=1 << 29, retries=3, resources=("s3://r/a",)),
    TaskSpec(command=("true",), output="file:///out/{index}", checkpoint="state", retries=2),
    TaskSpec(command=("true",), cpus=3, retries=2, backoff=5),
    TaskSpec(command=("true",), cpus=0.5, memory=1 << 28, retries=1, run_timeout=60),
)
#: An edit of commands that can be made again and again.
AGAIN = Substitution(field="command", find="true", replace="true")
WORKERS = ("w1", "w2", "w3", "w4")
BATCHES = ("b0", "b1")


class User:
    """One person; `acknowledged` are the sequences of submissions that the log said it has."""

    def __init__(self, world) -> None:
        self.world = world
        self.dice = world.dice
        self.acknowledged: dict[str, int] = {}
        self.sizes: dict[int, int] = {}
        self.said: list[int] = []
        self.sent = 0
        self.entry = 0

    async def storm(self, seconds: float) -> None:
        """Wish for this and that for so long."""
        end = self.world.loop.time() + seconds
        self.wire = Wire(self.world.hub, self.world.weather, "user", "ada")
        await self.submit()
        for _ in range(self.dice.randint(4, 16)):
            await asyncio.sleep(self.dice.expovariate(12 / seconds))
            if self.world.loop.time() > end:
                break
            if self.sent < 6 and self.dice.random() < 0.45:
                await self.submit()
            else:
                await self.say(self._wish())
        await asyncio.sleep(max(0.0, end - self.world.loop.time()))

    async def mend(self) -> None:
        """Undo what keeps tasks from ending."""
        for batch in BATCHES:
            await self.say(e.BatchResumeRequested(batch=batch))
        await self.say(e.WorkerResumeRequested(workers=WORKERS))
        await self.say(e.WorkerResizeRequested(workers=WORKERS, concurrency=2, prefetch=-1))
        for kind, name in (*(("batch", name) for name in BATCHES), ("user", "ada")):
            await self.say(e.ShareRequested(kind=kind, name=name, max_running=0))
        await self.say(e.WorkerMoveRequested(workers=WORKERS, batch="*"))
        for seq in self.acknowledged.values():
            every = (TaskRange(seq, 0, self.sizes[seq] - 1),)
            await self.say(e.DeleteRequested(tasks=every, restore=True))
            await self.say(e.RetryRequested(tasks=every))
            await self.say(e.SignalRequested(tasks=every, signal="continue"))

    async def retry(self, submission: int, index: int) -> None:
        """Of what ended after all was mended."""
        await self.say(e.RetryRequested(tasks=(TaskRange(submission, index, index),)))

    async def submit(self) -> None:
        """Up to eight tasks, in one of three forms; perhaps by a key used before."""
        dice = self.dice
        self.sent += 0 if self.sent and dice.random() < 0.1 else 1
        key, size, pick = f"k{self.sent}", dice.randint(1, 8), dice.randrange(99)
        specs = tuple(SPECS[(pick + k) % len(SPECS)] for k in range(size))
        body = dice.choice((Array(spec=specs[0], size=size), Specs(specs=specs), None))
        if isinstance(body, Specs) and dice.random() < 0.3:
            edges = {(k, dice.randrange(k)) for k in range(1, size) if dice.random() < 0.7}
            body = Specs(specs=specs, edges=tuple(sorted(edges)))
        if body is None:
            for part, spec in enumerate(specs):
                await self.say(e.SubmissionPartSent(key=key, part=part, specs=(spec,)))
            body = Parts(parts=size, size=size)
        requires = ()
        if self.acknowledged and dice.random() < 0.3:
            source = dice.choice(list(self.acknowledged.values()))
            requires = (TaskRange(source, 0, size - 1 if self.sizes[source] == size else 0),)
        event = e.TasksSubmitted(
            key=key, batch=dice.choice(BATCHES), body=body, held=dice.random() < 0.1, max_running=dice.choice((0, 0, 0, 2)),
            priority=dice.choice((0, 0, 1, 5)), requires=requires, requires_any_outcome=dice.random() < 0.5,
            each_requires=bool(requires) and len(requires[0]) == size,
            on_failed_requirement=dice.choice(("fail", "fail", "wait")),
        )  # fmt: skip
        seq = await self.say(event)
        self.acknowledged[f"{key} {self.entry}"], self.sizes[seq] = seq, size

    async def say(self, event: e.Event) -> int:
        """Append it, again and again with the same id until it is acknowledged."""
        self.entry += 1
        entry = Entry(event, "ada", f"ada-{self.entry}")
        self.world.note(f"ada: {event}")
        while True:
            try:
                self.said.append(await self.wire.log.append(entry))
                return self.said[-1]
            except Unreachable:
                await asyncio.sleep(0.3)

    def _wish(self) -> e.Event:
        dice = self.dice
        seq = dice.choice(list(self.acknowledged.values()))
        lo = dice.randint(0, 4)
        tasks = (TaskRange(seq, lo, lo + dice.randint(0, 4)),)
        batch, workers = dice.choice(BATCHES), dice.choice(((), ("w1",), ("w2", "w3"), ("w4",)))
        prefetch, most = dice.choice((None, None, -1, 0, 1, 6)), dice.choice((None, None, 0, 1, 2))
        return dice.choice(
            (
                e.CancelRequested(tasks=tasks),
                e.RetryRequested(tasks=tasks),
                e.RetryRequested(batch=batch),
                e.SignalRequested(tasks=tasks, signal=dice.choice(("stop", "kill", "pause", "continue", "checkpoint"))),
                e.BatchPauseRequested(batch=batch, freeze=dice.random() < 0.5),
                e.BatchResumeRequested(batch=batch),
                e.BatchRetentionRequested(batch=batch, retention=Retention(outputs=50, logs=20, failed=10)),
                e.WorkerPauseRequested(workers=workers, drain=dice.random() < 0.3),
                e.WorkerResumeRequested(workers=workers),
                e.WorkerResizeRequested(workers=workers, concurrency=dice.randint(-1, 3), prefetch=prefetch),
                e.WorkerCareRequested(care="clean", workers=workers),
                e.ShareRequested(kind="batch", name=batch, weight=dice.choice((0.5, 1, 3)), max_running=most),
                e.ShareRequested(kind="user", name="ada", max_running=most),
                e.PolicyRequested(
                    policy=Policy(breaker_failures=dice.randint(0, 2), breaker_pause=dice.choice((5, 60)))
                ),
                e.EditRequested(change=Change(set={"retries": dice.randint(0, 2)}), tasks=tasks),
                e.EditRequested(change=Change(substitutions=(AGAIN,)), batch=batch),
                e.UndoRequested(request=dice.choice((0, *self.said[-6:]))),
                e.DeleteRequested(tasks=tasks),
                e.DeleteRequested(tasks=tasks, restore=True),
                e.WorkerMoveRequested(batch=dice.choice((*BATCHES, "*")), workers=workers),
            )
        )
