"""What one does with the pages, and how soon one sees what happens."""

import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import Visitor, Yard, toast

from longshore_common.testing.waiting import wait_until

pytestmark = pytest.mark.browser

TALK = "for i in $(seq 1 400); do echo line $i of many; sleep 0.1; done"


def test_a_task_is_submitted_by_the_form_followed_searched_saved_and_cancelled(
    page: Page, yard: Yard, tmp_path: Path
) -> None:
    page.get_by_role("link", name="Submit", exact=True).click()
    page.get_by_label("Command").fill(TALK)
    page.get_by_label("run by the shell").check()
    page.get_by_label("Batch").fill("spoken")
    page.get_by_role("button", name="Submit", exact=True).click()
    page.wait_for_url("**/batches/spoken")
    toast(page, "Submitted 1 task to spoken")
    page.evaluate("window.mark = 1")
    page.get_by_role("link", name="All tasks").click()
    page.locator("tbody a.id").first.click()
    screen = page.locator("[data-screen]")
    expect(screen).to_contain_text("line 1 of many")
    lines = len(screen.inner_text().splitlines())
    wait_until(lambda: len(screen.inner_text().splitlines()) >= lines + 5, 5)
    assert screen.evaluate("s => s.scrollHeight - s.scrollTop - s.clientHeight < 40"), "the end is seen"
    page.get_by_label("Search the log").fill("LINE 2 of")
    expect(page.locator("[data-found]")).to_have_text("1 of 1")
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download").click()
    saved.value.save_as(tmp_path / "log")
    assert (tmp_path / "log").read_text().startswith("line 1 of many\nline 2 of many\n")
    page.get_by_role("button", name="Cancel").click()
    page.locator("#sure").get_by_role("button", name="Leave it").click()
    expect(page.locator(".state.big")).to_have_text("running")
    page.get_by_role("button", name="Cancel").click()
    page.locator("#sure").get_by_role("button", name="Cancel").click()
    toast(page, "Asked to cancel 1 task")
    expect(page.locator(".state.big")).to_have_text("cancelled")
    page.get_by_role("button", name="Try again").wait_for()
    assert page.evaluate("window.mark") == 1, "nothing was loaded anew"


_LOOK = """mark => {
  window.seen = 0;
  const look = () => { if (!window.seen && document.body.textContent.includes(mark)) window.seen = Date.now(); };
  new MutationObserver(look).observe(document.body, {childList: true, subtree: true, characterData: true});
}"""


def _seen(page: Page, mark: str) -> None:
    """Let the page note when this is first on it."""
    page.evaluate(_LOOK, mark)


def test_what_happens_elsewhere_is_on_the_page_within_a_second(page: Page, yard: Yard) -> None:
    took = []
    page.goto(f"{yard.url}/tasks")
    page.locator("#pulse", has_text="Live").wait_for()
    for k in range(8):
        _seen(page, f"sudden-{k}")
        body = json.dumps({"tasks": [{"command": ["true"]}], "name": f"sudden-{k}", "batch": "sudden"}).encode()
        headers = {"Authorization": f"Bearer {yard.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{yard.url}/api/v1/submissions", body, headers, method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status in (200, 201, 202)
        began = time.time()
        page.wait_for_function("() => window.seen")
        took.append(page.evaluate("window.seen") / 1000 - began)
    assert sorted(took)[-1] < 1.0, took


def test_many_are_ticked_and_dealt_with_at_once(page: Page, yard: Yard) -> None:
    ids = yard.submit("-b", "many", "--hold", "--array", "0-119", "--", "true")
    page.goto(f"{yard.url}/tasks?batch=many")
    boxes = page.locator("tbody input[type=checkbox]")
    expect(boxes).to_have_count(50)
    expect(page.locator(".bulkbar")).to_be_hidden()
    boxes.nth(2).click()
    boxes.nth(6).click(modifiers=["Shift"])
    expect(page.locator("[data-ticked]")).to_have_text("5 ticked")
    page.locator(".bulkbar").get_by_role("button", name="Cancel").click()
    page.locator("#sure").get_by_role("button", name="Cancel").click()
    toast(page, "Asked to cancel 5 tasks")
    expect(page.locator("tbody .s-cancelled")).to_have_count(5)
    page.get_by_label("Tick all on this page").check()
    page.get_by_label("all that this filter shows, on every page").check()
    page.locator(".bulkbar").get_by_role("button", name="Try again").click()
    toast(page, "Asked to try again 120 tasks")
    yard.wait(ids)
    expect(page.locator("a.chip", has_text="succeeded")).to_contain_text("120")
    page.get_by_label("Tick all on this page").check()
    page.locator(".bulkbar").get_by_role("button", name="Delete").click()
    page.locator("#sure").get_by_role("button", name="Delete").click()
    toast(page, "Asked to delete 50 tasks").get_by_role("button", name="Undo").click()
    toast(page, "Asked to undo")
    expect(page.locator("a.chip", has_text="All")).to_contain_text("120")


def test_a_batch_is_paused_resumed_and_cancelled(page: Page, yard: Yard) -> None:
    yard.submit("-b", "slow", "--array", "0-199", "--", "sleep", "0.5")
    page.goto(f"{yard.url}/batches/slow")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".state.big")).to_have_text("paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".state.big")).to_have_count(0)
    page.get_by_role("button", name="Kill").click()
    page.locator("#sure").get_by_role("button", name="Kill").click()
    expect(page.locator(".state.big")).to_contain_text("done")


def test_a_worker_gets_more_slots_is_paused_and_resumed(page: Page, yard: Yard) -> None:
    page.goto(f"{yard.url}/workers")
    row = page.locator("tr", has_text="local-2")
    row.get_by_role("button", name="One slot more").click()
    expect(row.locator("output")).to_have_text("3")
    row.get_by_role("button", name="One slot fewer").click()
    expect(row.locator("output")).to_have_text("2")
    row.get_by_role("checkbox").check()
    page.locator(".bulkbar").get_by_role("button", name="Pause").click()
    expect(row.locator(".state")).to_have_text("paused")
    row.get_by_role("link", name="local-2").click()
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".state.big")).to_have_text("up")
    page.get_by_role("button", name="Doctor").click()
    page.get_by_role("heading", name="What it answered").wait_for()


def test_all_of_it_is_done_with_keys(page: Page, yard: Yard) -> None:
    yard.wait(yard.submit("-b", "keys", "--array", "0-4", "--", "true"))
    page.keyboard.press("g")
    page.keyboard.press("t")
    page.wait_for_url("**/tasks")
    page.locator("table.list").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("j")
    second = page.locator("tbody tr").nth(1)
    expect(second).to_have_class("here")
    page.keyboard.press("x")
    expect(second.locator("input")).to_be_checked()
    page.keyboard.press("Enter")
    page.wait_for_url("**/tasks/*.*")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("b")
    page.wait_for_url("**/batches")
    page.keyboard.press("/")
    page.keyboard.type("keys")
    page.wait_for_url("**q=keys")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.goto(f"{yard.url}/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main"


def test_who_may_less_sees_less_and_who_is_revoked_is_out_within_a_second(
    visit: Callable[..., Visitor], yard: Yard
) -> None:
    admin = visit().page
    admin.goto(f"{yard.url}/access")
    secrets = {}
    for user, role in (("vera", "viewer"), ("ulla", "user")):
        admin.get_by_label("New user").fill(user)
        admin.locator("#new-role").select_option(role)
        admin.get_by_role("button", name="Add", exact=True).click()
        secrets[user] = admin.locator(".once code").inner_text()
        admin.goto(f"{yard.url}/access")
        assert secrets[user] not in admin.content(), "it is shown once"
    task = yard.submit("-b", "mine", "--hold", "--", "true")
    vera = visit(secrets["vera"])
    vera.expected.append("401")
    viewer = vera.page
    viewer.goto(f"{yard.url}/tasks/{task}")
    expect(viewer.locator(".state.big")).to_have_text("waiting")
    expect(viewer.get_by_role("button", name="Cancel")).to_have_count(0)
    expect(viewer.get_by_role("link", name="Submit", exact=True)).to_have_count(0)
    user = visit(secrets["ulla"]).page
    user.goto(f"{yard.url}/tasks/{task}")
    expect(user.get_by_role("button", name="Cancel")).to_have_count(0)
    user.goto(f"{yard.url}/workers")
    expect(user.get_by_role("button", name="One slot more")).to_have_count(0)
    user.goto(f"{yard.url}/submit")
    user.get_by_label("Command").fill("true")
    user.get_by_label("Batch").fill("ullas")
    user.get_by_role("button", name="Submit", exact=True).click()
    user.wait_for_url("**/batches/ullas")
    viewer.goto(f"{yard.url}/")
    row = admin.locator("tr", has_text="vera").first
    row.get_by_role("button", name="Revoke").click()
    admin.locator("#sure").get_by_role("button", name="Revoke").click()
    viewer.wait_for_url("**/sign-in**", timeout=4_000)  # its open page is told at the next word of the stream
    began = time.monotonic()
    viewer.goto(f"{yard.url}/tasks")
    assert "/sign-in" in viewer.url
    assert time.monotonic() - began < 1


def test_the_pages_work_without_any_script(visit: Callable[..., Visitor], yard: Yard) -> None:
    task = yard.submit("-b", "plain", "--hold", "--", "true")
    page = visit(java_script_enabled=False).page
    page.goto(f"{yard.url}/tasks")
    page.fill("input[name=batch]", "plain")
    page.click("noscript button, button:has-text('Show')")
    page.click(f"a:has-text('{task}')")
    page.click("button:has-text('Cancel')")
    assert "Asked to cancel 1 task" in page.locator(".toast").inner_text()
    wait_until(lambda: page.reload() and page.locator(".state.big").inner_text() == "cancelled")


def test_a_stack_that_goes_away_is_told_and_comes_back(visit: Callable[..., Visitor], yard: Yard) -> None:
    visitor = visit()
    visitor.expected.append("ERR_")
    page = visitor.page
    page.goto(f"{yard.url}/tasks")
    page.locator("#pulse", has_text="Live").wait_for()
    page.context.set_offline(True)
    page.evaluate(
        "dispatchEvent(new Event('pagehide')); dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))"
    )
    page.locator("#pulse", has_text="Out of touch").wait_for()
    page.context.set_offline(False)
    page.locator("#pulse", has_text="Live").wait_for(timeout=20_000)


def test_a_task_that_waits_says_why_in_the_list_and_is_edited_before_it_starts(page: Page, yard: Yard) -> None:
    task = yard.submit("-b", "greedy", "--memory", "900T", "--", "echo", "much")
    page.goto(f"{yard.url}/tasks?batch=greedy")
    page.locator("a[data-why]").click()
    expect(page.locator("#why")).to_contain_text("0 of 2 workers fit")
    page.keyboard.press("Escape")
    expect(page.locator("#why")).to_be_hidden()
    page.get_by_role("link", name=task, exact=True).click()
    page.get_by_text("Edit it before it starts").click()
    page.get_by_label("Memory, bytes or 4G").fill("64M")
    page.locator("#e-command").fill("echo 'a little'")
    page.get_by_role("button", name="Change it").click()
    toast(page, f"Asked to change command, memory of {task}")
    expect(page.locator(".state.big")).to_have_text("succeeded")
    expect(page.locator("[data-screen]")).to_have_text("a little")
    expect(page.locator("pre.code").first).to_have_text("echo 'a little'")


def test_one_is_told_by_a_rule_that_is_made_and_removed_here(page: Page, yard: Yard) -> None:
    page.goto(f"{yard.url}/access")
    page.get_by_label("of those like").fill("night-*")
    page.get_by_label("or call").fill("https://hooks.example.org/longshore")
    page.get_by_role("button", name="Tell me").click()
    toast(page, "which is shown only now")
    row = page.locator("tr", has_text="night-*")
    expect(row).to_contain_text("hooks.example.org")
    row.get_by_role("button", name="Remove").click()
    expect(row).to_have_count(0)
