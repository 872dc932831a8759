"""What one's tasks may be given and what one wants to be told of: secrets by name, and rules. No secret's value is here.

What must not enter: what a rule means, sending (see `notify`), sealing (which only owners can do, on their own machines).
"""

from typing import Any, Final

from litestar import Request, Response, post

from longshore_api.adapters import http_notifications, http_secrets
from longshore_api.adapters.doors import House, TheHouse, submitters
from longshore_api.adapters.ui.acting import said
from longshore_api.adapters.ui.entry import TheForm
from longshore_api.core.users import Visitor
from longshore_common.errors import BadInput
from longshore_common.model import Notification

#: Seconds that a page waits for what was asked for to be shown.
PATIENCE: Final = 3.0
OCCASIONS: Final = ("finished", "failing", "stuck")


async def secrets(house: House, visitor: Visitor) -> list[Any]:
    """One's own, or for admins all, as `GET /api/v1/secrets` has them."""
    found = await http_secrets.secrets.fn(house, visitor, 0)
    return list(found.items)


async def rules(house: House, visitor: Visitor) -> list[Any]:
    """One's own, or for admins all, as `GET /api/v1/notifications` has them; none where nothing is sent."""
    if house.notifier is None:
        return []
    found = await http_notifications.rules.fn(house, visitor, 0)
    return list(found.items)


@post("/act/secrets", include_in_schema=False, status_code=200, guards=[submitters])
async def forgotten(request: Request[Any, Any, Any], house: TheHouse, form: TheForm) -> Response[Any]:
    """All workers forget a secret of one's own."""
    name = str(form.get("name") or "")
    wish = await http_secrets.delete_secret.fn(house, request.scope["user"], name)
    await house.progress.passed(wish.seq, PATIENCE)
    return said(request, f"Asked all workers to forget {name}.")


@post("/act/notices", include_in_schema=False, status_code=200, guards=[submitters])
async def noticed(request: Request[Any, Any, Any], house: TheHouse, form: TheForm) -> Response[Any]:
    """A rule is made, tried or removed. The key of a webhook is told in the answer, and never again."""
    visitor: Visitor = request.scope["user"]
    rule = str(form.get("rule") or "")
    match str(form.get("verb") or ""):
        case "test":
            await http_notifications.test_rule.fn(house, visitor, 0, rule)
            return said(request, "A test is on its way.")
        case "remove":
            gone = await http_notifications.remove_rule.fn(house, visitor, rule)
            await house.progress.passed(gone.seq, PATIENCE)
            return said(request, "Nothing more is told by it.")
        case "add":
            made = await http_notifications.add_rule.fn(house, visitor, _rule(form))
            await house.progress.passed(made.seq, PATIENCE)
            key = (
                f" Signatures of its webhook are verified with {made.key}, which is shown only now." if made.key else ""
            )
            return said(request, f"You will be told.{key}", kind="warn" if key else "good")
        case _ as verb:
            raise BadInput(f"{verb!r} is nothing that can be done to a notification")


def _rule(form: Any) -> Notification:
    occasions = tuple(str(one) for one in form.getall("occasions", []))
    if odd := [one for one in occasions if one not in OCCASIONS]:
        raise BadInput(f"{odd[0]!r} is nothing that can be told of")
    given = {name: str(form.get(name) or "").strip() for name in ("batch", "webhook", "mail")}
    return Notification(
        occasions=occasions,  # type: ignore[arg-type]  # looked at above
        batch=given["batch"] or "*",
        webhook=given["webhook"],
        mail=given["mail"],
    )
