"""Storage is reached for an attempt with the credentials that its user gave it as a secret, if there are any.

What must not enter: what is moved.
"""

from collections.abc import Coroutine

from longshore_agent.core.attempt import Attempt
from longshore_agent.core.ports import Stager, StagingError
from longshore_agent.service.desk import Desk
from longshore_common.errors import BadInput
from longshore_common.model import Cause


async def as_its_user(desk: Desk, stager: Stager, attempt: Attempt, work: Coroutine[None, None, None]) -> None:
    """Do this transfer. `StagingError` with the fix if the secret is not here or has expired."""
    try:
        values = desk.credentials(attempt.order) if attempt.order.spec.secrets else {}
    except BadInput as err:
        work.close()
        definite = bool(getattr(err, "definite", False))
        cause: Cause = "launch" if attempt.result is None else "stage-out"
        raise StagingError(cause, str(err), definite=definite) from err
    if not values:
        await work
        return
    async with stager.acting(values):
        await work
