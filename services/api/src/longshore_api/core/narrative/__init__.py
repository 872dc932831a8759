"""The log as sentences: what an event says about one task, a batch, a worker, a user, or to whoever reads all of it.

What must not enter: what the state became; the reader of a history wants what was said, by whom, when.
"""

from longshore_api.core.narrative.batches import of_batch
from longshore_api.core.narrative.tasks import of_task
from longshore_api.core.narrative.whole import of_event
from longshore_api.core.narrative.workers import of_worker

__all__ = ["of_batch", "of_event", "of_task", "of_worker"]
