"""The pages as a browser without scripts meets them: sessions and their rules, what each page shows, what buttons write."""

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from longshore_api.adapters import http
from longshore_api.adapters.doors import House
from longshore_api.adapters.heard import Heard
from longshore_api.adapters.issuer import Issuer, Names, Secrets
from longshore_api.adapters.keyring import Keyring, make
from longshore_api.adapters.output import Outputs
from longshore_api.adapters.past import Pasts
from longshore_api.adapters.pen import Pen
from longshore_api.adapters.progress import Progress
from longshore_api.adapters.reader import Reader
from longshore_api.adapters.store import Store
from longshore_api.adapters.ui import assets
from longshore_api.adapters.ui.desk import Desk
from longshore_api.adapters.users import Signer, Users
from longshore_common import events as e
from longshore_common.adapters.memory_log import Hub
from longshore_common.errors import Unreachable
from longshore_common.ids import TaskRange
from longshore_common.model import Array, HostFacts, TaskSpec
from longshore_common.testing.clocks import Stopped

TOKEN = "t0ken"
EVIL = '<script>alert("x")</script>'


class Site:
    """The application, the log it shows, and a browser."""

    def __init__(self, url: str, book: Any, project: Any, reader: Reader) -> None:
        self.book, self._project, self._url = book, project, url
        self.clock, self.progress = Stopped(), Progress()
        hub = Hub(self.clock)
        self.transport = hub.connect("api")
        self.heard = Heard(self.transport.hints, self.clock)
        self.ring = Keyring(TOKEN, "root", self.clock)
        self.ring.reached(0)
        signer = Signer("", "", "")
        self.house = House(
            token=TOKEN, reader=reader, progress=self.progress, heard=self.heard, outputs=Outputs(self.transport),
            issuer=Issuer(Secrets("", "", "", ""), self.transport.log, self._nothing, Names(reader, self.progress, self.heard)),
            last=self.transport.log.last, rebuild=self._nothing, pasts=Pasts(url, reader, self.clock),
            pen=Pen(self.transport.log), keyring=self.ring, users=Users(self.ring, Pen(self.transport.log), signer, self.clock),
            desk=Desk.made("seed", reader, self.heard, self.clock)._replace(hints=self.transport.hints),
            hints=self.transport.hints,
        )  # fmt: skip
        app = http.application(self.house)
        self.browser = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here")

    async def _nothing(self, *_: Any) -> None:
        return None

    def let_in(self, user: str, role: Any) -> str:
        """A user with a secret, as the keyring would have read it."""
        made, at = make(), len(self.ring.register.accounts) + 1
        self.ring.register.take(e.UserAdded(user=user, role=role), at, 1.0)
        issued = e.CredentialIssued(id=made.id, kind="secret", user=user, role=role, digest=made.digest)
        self.ring.register.take(issued, at + 1, 1.0)
        return made.shown

    async def shown(self) -> None:
        """Project all that the book has."""
        store = await Store.open(self._url)
        try:
            memory = await store.load()
            await self._project(store, memory, self.book.records[memory.position :])
            self.progress.reach(memory.position)
        finally:
            await store.close()

    async def sign_in(self, secret: str = TOKEN) -> None:
        self.browser.cookies.clear()
        answer = await self.browser.post("/sign-in", data={"secret": secret, "next": "/"})
        assert answer.status_code == 303, answer.text

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.browser.get(path, headers=headers)

    async def page(self, path: str) -> str:
        answer = await self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    async def stamp(self) -> str:
        found = re.search(r'name="stamp" value="([^"]+)"', await self.page("/"))
        assert found is not None
        return found.group(1)

    async def press(
        self, path: str, *fields: tuple[str, str], stamp: str | None = None, **headers: str
    ) -> httpx.Response:
        """What a form with these fields sends."""
        body = urlencode([("stamp", await self.stamp() if stamp is None else stamp), *fields])
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self.browser.post(path, content=body, headers=kind | headers)

    async def written(self) -> list[e.Event]:
        """What was wished so far."""
        last = await self.transport.log.last()
        found: list[Any] = []
        async for piece in self.transport.log.follow(0) if last else _none():
            found += [record.event for record in piece.records]
            if piece.records[-1].seq >= last:
                break
        return found


async def _none() -> AsyncIterator[Any]:
    for nothing in ():
        yield nothing


@pytest.fixture
async def site(database: str, book: Any, project: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr("longshore_api.adapters.ui.acting._PATIENCE", 0.0)
    reader = await Reader.open(database)
    made = Site(database, book, project, reader)
    yield made
    await made.browser.aclose()
    assert made.house.pasts is not None
    await made.house.pasts.close()
    await reader.close()


PAGES = ("/", "/batches", "/tasks", "/workers", "/events", "/submit", "/access")


# --- who may look -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
async def test_without_a_session_every_page_leads_to_the_door_and_back(site: Site, path: str) -> None:
    answer = await site.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"] == ("/sign-in" if path == "/" else f"/sign-in?next={path.replace('/', '%2F')}")
    assert (await site.get(path, **{"Longshore-Part": "1"})).status_code == 401


async def test_a_session_is_a_cookie_that_scripts_and_other_sites_do_not_get(site: Site) -> None:
    answer = await site.browser.post("/sign-in", data={"secret": TOKEN, "next": "/tasks"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/tasks")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("longshore=")
    assert all(rule in cookie for rule in ("HttpOnly", "SameSite=strict", "Path=/"))
    assert TOKEN not in cookie
    secure = httpx.AsyncClient(transport=site.browser._transport, base_url="https://here")
    answer = await secure.post("/sign-in", data={"secret": TOKEN})
    assert answer.headers["set-cookie"].startswith("__Host-longshore=")
    assert "Secure" in answer.headers["set-cookie"]


async def test_a_wrong_secret_is_told_so_and_who_guesses_is_made_to_wait(site: Site) -> None:
    for _ in range(10):
        answer = await site.browser.post("/sign-in", data={"secret": "wrong"})
        assert answer.status_code == 401
        assert "not known here" in answer.text
    assert (await site.browser.post("/sign-in", data={"secret": "wrong"})).status_code == 429


async def test_nobody_is_sent_to_another_site_after_signing_in(site: Site) -> None:
    for place in ("//evil.example", "https://evil.example", "/\\evil.example", "\r\nSet-Cookie: a=b"):
        answer = await site.browser.post("/sign-in", data={"secret": TOKEN, "next": place})
        assert answer.headers["location"] == "/"


async def test_a_changed_cookie_and_one_that_is_too_old_are_none(site: Site) -> None:
    await site.sign_in()
    cookie = site.browser.cookies["longshore"]
    for other in (cookie[:-2] + ("AA" if not cookie.endswith("AA") else "BB"), "x" + cookie[1:], "x.y", "."):
        assert (await site.get("/", Cookie=f"longshore={other}")).status_code == 303
    site.clock.at += 12 * 3600 + 1
    assert (await site.get("/")).status_code == 303


async def test_a_revoked_credential_ends_its_sessions_at_once(site: Site) -> None:
    secret = site.let_in("ann", "user")
    await site.sign_in(secret)
    assert (await site.get("/")).status_code == 200
    site.ring.register.take(e.UserRevoked(user="ann"), 99, 2.0)
    assert (await site.get("/")).status_code == 303


async def test_after_signing_out_the_cookie_is_worth_nothing(site: Site) -> None:
    await site.sign_in()
    kept = site.browser.cookies["longshore"]
    answer = await site.press("/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert (await site.get("/", Cookie=f"longshore={kept}")).status_code == 303


async def test_a_form_of_another_site_or_session_writes_nothing(site: Site) -> None:
    await site.sign_in()
    stamp = await site.stamp()
    fields = (("verb", "cancel"), ("ids", "1.0"))
    for path in ("/act/tasks", "/act/batch", "/act/workers", "/act/undo", "/act/submit", "/access/users", "/sign-out"):
        assert (await site.press(path, *fields, stamp="")).status_code == 403
        assert (await site.press(path, *fields, stamp=stamp, Origin="http://evil.example")).status_code == 403
        assert (await site.press(path, *fields, stamp=stamp, **{"Sec-Fetch-Site": "cross-site"})).status_code == 403
    await site.sign_in()
    assert (await site.press("/act/tasks", *fields, stamp=stamp)).status_code == 403
    assert await site.written() == []


@pytest.mark.parametrize("path", [*PAGES, "/sign-in", "/tasks/9.9"])
async def test_every_page_forbids_what_it_does_not_need(site: Site, path: str) -> None:
    await site.sign_in()
    answer = await site.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "private" in answer.headers["cache-control"]
    assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=|<style", answer.text), (
        "nothing that the policy forbids"
    )
    assert "http://" not in answer.text.replace("http://www.w3.org", "")
    assert "https://" not in answer.text


# --- what is shown ------------------------------------------------------------------------------------------------------


async def test_what_users_write_is_text_on_every_page(site: Site) -> None:
    spec = TaskSpec(command=("echo", EVIL), env={"A": EVIL}, inputs=(EVIL,), output=EVIL, container=EVIL)
    task = site.book.submit(batch=EVIL, name=EVIL, body=Array(spec=spec, size=1))
    site.book.join(facts=HostFacts(hostname=EVIL))
    site.book.assign(task, 0)
    site.book.end(task, 0, outcome="failed", cause="exit", exit_code=3, reason=EVIL)
    site.book.write(e.TasksFailed(tasks=(TaskRange(task, 0, 0),), cause="exit", reason=EVIL))
    await site.shown()
    await site.sign_in()
    more = (f"/tasks/{task}.0", "/workers/w1", f"/tasks?{urlencode({'batch': EVIL, 'user': EVIL})}")
    for path in (*PAGES, *more):
        assert EVIL not in await site.page(path), path


async def test_the_overview_counts_and_says_what_needs_a_hand(site: Site) -> None:
    array = site.book.submit(3)
    site.book.join("w1")
    site.book.assign(array, 0, 1)
    site.book.move(array, 0)
    site.book.write(e.WorkerLost(reason="no beat"), "w1")
    await site.shown()
    await site.sign_in()
    page = await site.page("/")
    assert "1 worker not heard of: w1" in page
    assert "no worker takes any" in page
    assert ">b</a>" in page


async def test_a_list_of_tasks_has_pages_filters_and_the_same_words_as_ids(site: Site) -> None:
    array = site.book.submit(120, name="align")
    other = site.book.submit(2, batch="c", user="bob")
    await site.shown()
    await site.sign_in()
    page = await site.page("/tasks")
    assert page.count('name="ids"') == 50
    following = re.search(r'rel="next" href="([^"]+)"', page)
    assert following is not None
    second = await site.page(following.group(1).replace("&amp;", "&"))
    assert f'value="{array}.48"' in second
    assert f'value="{array}.0"' not in second
    assert (await site.page("/tasks?batch=c")).count('name="ids"') == 2
    assert (await site.page("/tasks?user=bob&batch=")).count('name="ids"') == 2
    assert (await site.page(f"/tasks?q={array}.5-9")).count('name="ids"') == 5
    assert (await site.page("/tasks?q=align&state=queued")).count('name="ids"') == 50
    assert "No task is like that" in await site.page("/tasks?state=failed")
    assert f'href="/tasks/{other}.1"' in page
    assert (await site.get("/tasks?state=odd")).status_code == 400


async def test_a_task_shows_command_attempts_and_what_happened(site: Site) -> None:
    task = site.book.submit(body=Array(spec=TaskSpec(command=("sh", "-c", "exit 3"), retries=1), size=1))
    site.book.join()
    site.book.assign(task, 0)
    site.book.end(task, 0, outcome="failed", cause="exit", exit_code=3)
    site.book.requeue(task, 0, cause="exit")
    site.book.assign(task, 0, n=2)
    await site.shown()
    await site.sign_in()
    page = await site.page(f"/tasks/{task}.0")
    assert "sh -c &#39;exit 3&#39;" in page
    assert page.count('data-key="a') == 2
    assert "exit 3" in page
    assert (await site.get("/tasks/99.0")).status_code == 404
    assert (await site.get("/tasks/nonsense")).status_code == 400


async def test_what_did_not_change_is_not_sent_again(site: Site) -> None:
    site.book.submit()
    await site.shown()
    await site.sign_in()
    first = await site.get("/tasks", **{"Longshore-Part": "1"})
    assert "<!doctype" not in first.text
    tag = first.headers["etag"]
    assert (await site.get("/tasks", **{"Longshore-Part": "1", "If-None-Match": tag})).status_code == 304
    site.book.submit()
    await site.shown()
    assert (await site.get("/tasks", **{"Longshore-Part": "1", "If-None-Match": tag})).status_code == 200


async def test_lists_can_be_looked_at_as_they_were(site: Site) -> None:
    first = site.book.submit(2)
    site.book.submit(3, batch="later")
    await site.shown()
    await site.sign_in()
    page = await site.page(f"/tasks?at={first}")
    assert "You look back" in page
    assert page.count('data-key="t') == 2
    assert 'name="ids"' not in page, "nothing can be done to the past"


async def test_events_are_filtered_and_lead_back_in_time(site: Site) -> None:
    seq = site.book.submit(2)
    site.book.join()
    await site.shown()
    await site.sign_in()
    page = await site.page("/events?author=ann")
    assert f'href="/tasks?at={seq}"' in page
    assert "worker-joined" not in page.partition("<ul")[2]
    assert (await site.get("/events?type=odd")).status_code == 400


async def test_a_sentence_leads_to_what_it_is_about(site: Site) -> None:
    seq = site.book.submit(2, batch=EVIL)
    site.book.join()
    await site.shown()
    await site.sign_in()
    page = await site.page("/events")
    assert f'<a href="/tasks?submission={seq}">submission {seq}</a>' in page
    assert '<a href="/workers/w1">worker w1</a>' in page
    assert EVIL not in page


async def test_workers_are_filtered_by_what_they_are(site: Site) -> None:
    for name in ("w1", "w2", "w3"):
        site.book.join(name)
    site.book.write(e.WorkerLost(reason="no beat"), "w2")
    await site.shown()
    await site.sign_in()
    assert (await site.page("/workers")).count('data-key="w') == 3
    assert (await site.page("/workers?state=lost")).count('data-key="w') == 1
    assert (await site.page("/workers?q=w3")).count('data-key="w') == 1
    assert "no beat" in await site.page("/workers/w2")


async def test_files_have_their_digest_in_their_path_and_are_asked_for_once(site: Site) -> None:
    page = await site.page("/sign-in")
    places = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert len(places) >= 4
    for place in set(places):
        answer = await site.get(place)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert (await site.get(f"/static/{'0' * 16}/app.css")).status_code == 404
    assert (await site.get(f"{assets.BASE}/..%2f..%2frouter.py")).status_code == 404


async def test_the_past_leads_to_the_past(site: Site) -> None:
    first = site.book.submit(2)
    site.book.submit(1, batch="later")
    await site.shown()
    await site.sign_in()
    assert f'href="/tasks/{first}.0?at={first}"' in await site.page(f"/tasks?at={first}")
    assert "You look back" in await site.page(f"/tasks/{first}.0?at={first}")
    assert "/act/" not in await site.page(f"/batches/b?at={first}")
    assert f"at={first}" in await site.page(f"/batches/b?at={first}")
    assert (await site.get("/tasks?at=99999")).status_code == 400


async def test_without_postgresql_one_signs_in_and_is_told_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise Unreachable("PostgreSQL does not answer: start it")

    monkeypatch.setattr(site.house.reader, "fetch", away)
    await site.sign_in()
    answer = await site.get("/tasks")
    assert answer.status_code == 503
    assert "PostgreSQL does not answer" in answer.text
    assert "Try again" in answer.text


# --- what buttons do ----------------------------------------------------------------------------------------------------


async def test_a_button_writes_a_wish_in_the_name_of_who_pressed_it(site: Site) -> None:
    secret = site.let_in("ann", "user")
    task = site.book.submit(5, user="ann")
    await site.shown()
    await site.sign_in(secret)
    answer = await site.press(
        "/act/tasks", ("verb", "cancel"), ("ids", f"{task}.0"), ("ids", f"{task}.1"), ("ids", f"{task}.4"),
        **{"Longshore-Part": "1"},
    )  # fmt: skip
    assert answer.status_code == 200
    assert "3 tasks" in answer.json()["text"]
    assert await site.written() == [e.CancelRequested(tasks=(TaskRange(task, 0, 1), TaskRange(task, 4, 4)))]


async def test_all_that_a_filter_shows_is_meant_on_every_page(site: Site) -> None:
    array = site.book.submit(500, batch="big")
    site.book.submit(3, batch="other")
    await site.shown()
    await site.sign_in()
    await site.press("/act/tasks", ("verb", "delete"), ("all", "1"), ("query", "batch=big"), ("ids", "1.0"))
    assert await site.written() == [e.DeleteRequested(tasks=(TaskRange(array, 0, 499),))]


async def test_what_is_anothers_is_refused_and_a_viewer_presses_nothing(site: Site) -> None:
    user, viewer = site.let_in("bob", "user"), site.let_in("eve", "viewer")
    task = site.book.submit(2, user="ann")
    site.book.join()
    await site.shown()
    for secret in (user, viewer):
        await site.sign_in(secret)
        for path, *fields in (
            ("/act/tasks", ("verb", "kill"), ("ids", f"{task}.0")),
            ("/act/batch", ("verb", "pause"), ("batch", "b")),
            ("/act/workers", ("verb", "drain"), ("workers", "w1")),
            ("/access/users", ("verb", "add"), ("user", "mallory"), ("role", "admin")),
        ):
            assert (await site.press(path, *fields)).status_code == 403, path
        assert "/act/" not in await site.page(f"/tasks/{task}.0")
        assert "/act/" not in await site.page("/workers")
    assert (await site.get("/submit")).status_code == 403
    assert (await site.press("/act/submit", ("command", "true"))).status_code == 403
    assert await site.written() == []


async def test_workers_are_resized_paused_moved_and_cared_for(site: Site) -> None:
    site.book.join()
    await site.shown()
    await site.sign_in()
    await site.press("/act/workers", ("to", "w1=3"))
    await site.press("/act/workers", ("verb", "drain"), ("workers", "w1"))
    await site.press("/act/workers", ("verb", "move"), ("workers", "w1"), ("batch", "b"))
    await site.press("/act/workers", ("verb", "prune-images"), ("workers", "w1"))
    assert (await site.press("/act/workers", ("verb", "drain"))).status_code == 400, "no worker is not all of them"
    assert await site.written() == [
        e.WorkerResizeRequested(workers=("w1",), concurrency=3), e.WorkerPauseRequested(workers=("w1",), drain=True),
        e.WorkerMoveRequested(batch="b", workers=("w1",)), e.WorkerCareRequested(care="prune-images", workers=("w1",)),
    ]  # fmt: skip


async def test_a_form_submits_what_it_says_and_a_wrong_field_is_named(site: Site) -> None:
    await site.sign_in()
    fields = (
        ("key", "k1"), ("command", "sort -u 'my file'"), ("batch", "sorting"), ("array", "10-19:3"), ("memory", "1.5G"),
        ("cpus", "0.5"), ("run_timeout", "2h"), ("env", "A=b=c\nB="), ("inputs", "s3://b/x\ns3://b/y"), ("held", "1"),
    )  # fmt: skip
    answer = await site.press("/act/submit", *fields)
    assert (answer.status_code, answer.headers["location"]) == (303, "/batches/sorting")
    (event,) = await site.written()
    assert isinstance(event, e.TasksSubmitted)
    spec = TaskSpec(
        command=("sort", "-u", "my file"), memory=3 << 29, cpus=0.5, run_timeout=7200, env={"A": "b=c", "B": ""},
        inputs=("s3://b/x", "s3://b/y"),
    )  # fmt: skip
    assert event.body == Array(spec=spec, size=4, start=10, step=3)
    assert (event.key, event.batch, event.held) == ("k1", "sorting", True)
    for wrong in (
        ("memory", "much"),
        ("array", "5-1"),
        ("cpus", "-1"),
        ("env", "novalue"),
        ("retries", "x"),
        ("command", "'"),
    ):
        fields = {"command": "true"} | dict([wrong])
        answer = await site.press("/act/submit", *fields.items(), **{"Longshore-Part": "1"})
        assert answer.status_code == 400
        assert wrong[0] in answer.json()["text"]


async def test_a_new_secret_is_on_one_page_and_in_no_cache(site: Site) -> None:
    await site.sign_in()
    page = await site.page("/access")
    assert "New user" in page
    viewer = site.let_in("eve", "viewer")
    await site.sign_in(viewer)
    assert "New user" not in await site.page("/access")
