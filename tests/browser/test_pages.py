"""Every page, by day, by night and on a phone: it is whole, asks nobody else, passes axe, and its picture is kept."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page
from tests.browser.conftest import PICTURES, Visitor, Yard

pytestmark = pytest.mark.browser

LOOKS: dict[str, dict[str, Any]] = {
    "day": {"color_scheme": "light"},
    "night": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
#: What is audited: WCAG 2.2 A and AA, and what axe calls best practice.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="session")
def axe() -> str:
    spec = importlib.util.find_spec("axe_playwright_python")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / "axe.min.js").read_text()


@pytest.fixture(scope="session")
def ids(yard: Yard) -> dict[str, str]:
    """Tasks of every kind to be seen."""
    failed = yard.submit(
        "-b",
        "align",
        "-n",
        "align",
        "--array",
        "0-39",
        "--",
        "sh",
        "-c",
        "echo $LONGSHORE_INDEX; exit $((LONGSHORE_INDEX % 7 == 3))",
    )
    stuck = yard.submit("-b", "training", "-n", "model", "--gpus", "4", "--", "python3", "train.py")
    held = yard.submit("-b", "align", "--hold", "--", "true")
    running = yard.submit("-b", "nightly", "-n", "report", "--", "sh", "-c", "echo begun; echo oh no >&2; sleep 600")
    yard.wait(failed)
    sub = failed.split(".")[0]
    return {"failed": f"{sub}.3", "succeeded": f"{sub}.4", "stuck": stuck, "held": held, "running": running}


def audit(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    found = page.evaluate("rules => axe.run(document, {runOnly: {type: 'tag', values: rules}})", RULES)
    return [
        f"{v['id']}: {v['help']}: {n['html'][:160]} {n.get('failureSummary', '')[:200]}"
        for v in found["violations"]
        for n in v["nodes"][:3]
    ]


def places(ids: dict[str, str]) -> dict[str, str]:
    return {
        "overview": "/", "batches": "/batches", "batch": "/batches/align", "tasks": "/tasks",
        "tasks-failed": "/tasks?state=failed", "tasks-past": f"/tasks?at={ids['stuck'].split('.')[0]}",
        "task-failed": f"/tasks/{ids['failed']}", "task-stuck": f"/tasks/{ids['stuck']}",
        "task-running": f"/tasks/{ids['running']}", "workers": "/workers", "worker": "/workers/local-1",
        "events": "/events", "submit": "/submit", "access": "/access", "nowhere": "/tasks/9999999.0",
    }  # fmt: skip


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_is_whole_passes_the_audit_and_has_its_picture_kept(
    visit: Callable[..., Visitor], ids: dict[str, str], axe: str, look: str
) -> None:
    visitor = visit(**LOOKS[look])
    visitor.expected.append("404")
    PICTURES.mkdir(parents=True, exist_ok=True)
    wrong = {}
    for name, path in places(ids).items():
        page = visitor.go(path)
        page.locator("h1").wait_for()
        if "task-" in name:
            page.locator("[data-status]:not(:has-text('Loading'))").wait_for()
        page.screenshot(path=PICTURES / f"{name}-{look}.png", full_page=True)
        if found := audit(page, axe):
            wrong[name] = found
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if wide > 0:
            wrong[f"{name} is too wide"] = [str(wide)]
    assert wrong == {}


@pytest.mark.parametrize("look", LOOKS)
def test_the_door_passes_the_audit(chromium: Any, yard: Yard, axe: str, look: str) -> None:
    context = chromium.new_context(**LOOKS[look])
    try:
        page = context.new_page()
        page.goto(f"{yard.url}/sign-in")
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / f"sign-in-{look}.png")
        assert audit(page, axe) == []
        page.fill("#secret", "wrong")
        page.click("button:has-text('Sign in')")
        page.get_by_role("alert").wait_for()
        assert audit(page, axe) == []
    finally:
        context.close()


def test_from_page_to_page_nothing_is_loaded_anew_and_back_is_back(page: Page, ids: dict[str, str]) -> None:
    page.evaluate("window.mark = 1")
    page.get_by_role("link", name="Tasks", exact=True).click()
    page.wait_for_url("**/tasks")
    page.get_by_role("link", name=ids["failed"], exact=True).click()
    page.wait_for_url(f"**/tasks/{ids['failed']}")
    assert page.title().startswith(ids["failed"])
    assert page.evaluate("document.activeElement.id") == "main"
    page.go_back()
    page.wait_for_url("**/tasks")
    page.locator("table.list").wait_for()
    assert page.evaluate("window.mark") == 1


def test_each_state_says_why_with_a_remedy(page: Page, yard: Yard, ids: dict[str, str]) -> None:
    page.goto(f"{yard.url}/tasks/{ids['stuck']}")
    assert "workers fit" in page.locator(".why").inner_text()
    assert "add a worker with 4 gpus" in page.locator(".why .fix").first.inner_text()
    page.goto(f"{yard.url}/tasks/{ids['failed']}")
    assert "failed: exit 1" in page.locator(".alert").inner_text()


def test_one_looks_back_from_an_event_and_returns(page: Page, yard: Yard, ids: dict[str, str]) -> None:
    page.goto(f"{yard.url}/events?type=tasks-submitted")
    seq = ids["stuck"].split(".")[0]
    page.get_by_role("link", name=seq, exact=True).click()
    page.get_by_role("note").wait_for()
    assert ids["running"] not in page.locator("table").inner_text()
    assert page.locator("input[name=ids]").count() == 0
    page.get_by_role("link", name="Back to now").click()
    page.get_by_role("link", name=ids["running"], exact=True).wait_for()


def test_filters_narrow_a_list_while_one_types(page: Page, yard: Yard, ids: dict[str, str]) -> None:
    page.goto(f"{yard.url}/tasks")
    page.get_by_label("Batch").fill("training")
    page.wait_for_url("**batch=training**")
    page.wait_for_function("() => document.querySelectorAll('table.list tbody tr').length === 1")
    assert page.evaluate("document.activeElement.name") == "batch", "the cursor stays where it was"
    page.get_by_role("link", name="Clear").click()
    page.locator("a.chip", has_text="failed").click()
    page.wait_for_url("**state=failed**")
    page.wait_for_function(
        "() => [...document.querySelectorAll('tbody .state')].every(s => s.textContent === 'failed')"
    )
