"""Every address of the pages and every role: allowed or refused as this table says. One that is in no line fails."""

from typing import Any

import pytest
from services.api.tests.test_ui import Site, site

from longshore_api.adapters.ui import router

__all__ = ["site"]

#: (method, path) -> what is answered to nobody, a viewer, a user, an admin. `own` tasks are the user's.
TABLE: dict[tuple[str, str], tuple[int, int, int, int]] = {
    ("GET", "/"): (303, 200, 200, 200),
    ("GET", "/batches"): (303, 200, 200, 200),
    ("GET", "/batches/{name:str}"): (303, 200, 200, 200),
    ("GET", "/tasks"): (303, 200, 200, 200),
    ("GET", "/tasks/{task:str}"): (303, 200, 200, 200),
    ("GET", "/tasks/{task:str}/output"): (303, 200, 200, 200),
    ("GET", "/tasks/{task:str}/saved"): (303, 200, 200, 200),
    ("GET", "/why/{task:str}"): (303, 200, 200, 200),
    ("GET", "/workers"): (303, 200, 200, 200),
    ("GET", "/workers/{name:str}"): (303, 200, 200, 200),
    ("GET", "/events"): (303, 200, 200, 200),
    ("GET", "/access"): (303, 200, 200, 200),
    ("GET", "/submit"): (303, 403, 200, 200),
    ("POST", "/act/tasks"): (401, 403, 403, 303),
    ("POST", "/act/batch"): (401, 403, 403, 303),
    ("POST", "/act/workers"): (401, 403, 403, 303),
    ("POST", "/act/edit"): (401, 403, 403, 303),
    ("POST", "/act/undo"): (401, 403, 303, 303),
    ("POST", "/act/submit"): (401, 403, 303, 303),
    ("POST", "/act/secrets"): (401, 403, 303, 303),
    ("POST", "/act/notices"): (401, 403, 400, 400),
    ("POST", "/access/secret"): (401, 403, 403, 400),
    ("POST", "/access/users"): (401, 403, 403, 404),
    ("POST", "/access/revoke"): (401, 404, 404, 404),
}
#: What each form has; tasks are another's.
FIELDS: dict[str, tuple[tuple[str, str], ...]] = {
    "/act/tasks": (("verb", "cancel"), ("ids", "1.0")),
    "/act/batch": (("verb", "pause"), ("batch", "b")),
    "/act/workers": (("verb", "pause"), ("workers", "w1")),
    "/act/edit": (("task", "1.0"), ("command", "false")),
    "/act/undo": (("request", "9"),),
    "/act/submit": (("command", "true"),),
    "/act/secrets": (("name", "token"),),
    "/act/notices": (("verb", "nothing"),),
    "/access/secret": (("kind", "join"), ("lasts", "9" * 15)),
    "/access/users": (("verb", "role"), ("user", "nobody"), ("role", "admin")),
    "/access/revoke": (("id", "nothing"),),
}


def test_every_address_has_a_line() -> None:
    found = {(method, route.path) for route in router.pages.routes for method in getattr(route, "methods", ())}
    found = {(method, path) for method, path in found if method in ("GET", "POST")}
    assert found == {*TABLE, ("GET", "/live")}


@pytest.mark.parametrize(("method", "path"), TABLE)
async def test_an_address_answers_each_role_as_its_line_says(site: Site, method: str, path: str) -> None:
    task = site.book.submit(2, user="ann")
    site.book.join()
    await site.shown()
    place = path.replace("{task:str}", f"{task}.0").replace("{name:str}", "w1" if "workers" in path else "b")
    answers: list[Any] = []
    for role in ("", "viewer", "user", "admin"):
        site.browser.cookies.clear()
        if role:
            await site.sign_in(site.let_in(f"one-{role}", role))
        if method == "GET":
            answer = await site.get(place)
        else:
            answer = await site.press(place, *FIELDS[place], stamp=None if role else "none")
        answers.append(answer.status_code)
    assert tuple(answers) == TABLE[method, path]
