"""The pages in a real browser, with a million tasks and a thousand workers in the read model.

Targets (issue "The front"): first paint at most 1 s, a tab at most 150 MB, what happens is on the page within 1 s. A tab is
its renderer process (what it has for itself alone), after the pages were gone through and the list has been live for a while.
What must not enter: figures of another day.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil
from api import _sql, touch
from common import BIN, Report, Stack, scaled, until
from playwright.sync_api import Browser, Page, sync_playwright

from longshore_common.testing.chromium import CHROMIUM, FLAGS

PAGES = {
    "overview": "/", "a page of tasks": "/tasks", "tasks that succeeded": "/tasks?state=succeeded",
    "tasks far down an array": "/tasks?q={sub}.900000-999999", "one task": "/tasks/{sub}.7", "workers": "/workers",
    "batches": "/batches", "events": "/events",
}  # fmt: skip
#: Seconds for which the list is live, and how many times something is waited for.
LIVE, TIMES = 20.0, 10
#: Visitors whose streams are open at once, for what each costs the api.
VISITORS = 200

_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1"
_WEIGHT = "performance.getEntries().reduce((sum, entry) => sum + (entry.transferSize || 0), 0)"
_GO = "path => import(document.querySelector('script').src.replace('app.js', 'pages.js')).then(m => m.go(path))"
_LOOK = """mark => { window.seen = 0; const look = () => { if (!window.seen && document.body.textContent.includes(mark))
window.seen = Date.now(); }; new MutationObserver(look).observe(document.body, {childList: true, subtree: true}); }"""


def workers(stack: Stack, count: int) -> None:
    """So many more workers, as if they had joined."""
    columns = "name, state, paused, concurrency, prefetch, batch, facts, public_key, hostname, life, joined_at"
    _sql(
        stack.part("api").environ()["DATABASE_URL"],
        f"INSERT INTO worker ({columns}) SELECT 'bench-' || lpad(k::text, 4, '0'), 'up', false, 8, -1, '*', '{{}}', '', "
        f"'host-' || k, 1, 1.7e9 FROM generate_series(1, {count}) AS k",
    )


def signed_in(report: Report, browser: Browser, url: str, token: str) -> Page:
    """A page of its own context, past the door."""
    page = browser.new_context(viewport={"width": 1360, "height": 900}).new_page()
    page.goto(f"{url}/sign-in", wait_until="networkidle")
    weight = page.evaluate(_WEIGHT)
    page.fill("#secret", token)
    page.click("button")
    page.wait_for_url(f"{url}/")
    report.told(
        "bytes of a first visit, the door and the overview", f"{(weight + page.evaluate(_WEIGHT)) / 1000:,.0f} kB"
    )
    return page


def paints(report: Report, page: Page, url: str, sub: str) -> None:
    """Each page loaded anew, as from a link in a mail; the median of five."""
    for name, path in PAGES.items():
        found = []
        for _ in range(5):
            page.goto(url + path.format(sub=sub), wait_until="load")
            until(lambda: page.evaluate(_PAINT) > 0, 10, "paint")
            found.append(page.evaluate(_PAINT) / 1000)
        report.at_most(f"first paint, {name}", statistics.median(found), 1.0, "s", f"at most {max(found):.2f} s")


def gone_through(report: Report, page: Page, url: str, sub: str) -> None:
    """From page to page by its links, without loading anew."""
    page.goto(url + "/")
    found = []
    for _ in range(3):
        for path in PAGES.values():
            began = time.perf_counter()
            page.evaluate(_GO, path.format(sub=sub))
            found.append(time.perf_counter() - began)
    report.at_most("from page to page", statistics.median(found), 0.3, "s", f"at most {max(found):.2f} s")


def tab() -> float:
    """Bytes that the largest renderer process has for itself alone; the browser's own pages have one as well."""
    words = {child: " ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)}
    tabs = [child for child, line in words.items() if "--type=renderer" in line and "--top-chrome" not in line]
    return max(child.memory_full_info().uss for child in tabs)


def memory(report: Report, page: Page) -> None:
    """What the tab has, and what of that is more than what the browser has not collected yet."""
    used = tab()
    page.context.new_cdp_session(page).send("HeapProfiler.collectGarbage")
    report.at_most(
        "memory of a tab, live",
        used / 1e6,
        150,
        "MB",
        f"{tab() / 1e6:.0f} MB in use, {LIVE:.0f} s while 5,000 tasks ran",
    )


def lags(report: Report, stack: Stack, page: Page, url: str) -> None:
    """From the answer to a submission till its task is on an open page."""
    page.goto(f"{url}/tasks")
    page.locator("#pulse", has_text="Live").wait_for()
    found = []
    for k in range(TIMES):
        page.evaluate(_LOOK, f"sudden-{k}")
        stack.cli("submit", "-q", "-n", f"sudden-{k}", "--hold", "--", "true")
        began = time.time()
        until(lambda: page.evaluate("window.seen"), 10, "the page")
        found.append(max(0.0, page.evaluate("window.seen") / 1000 - began))
    report.at_most(
        "a new task on an open list, the slowest", max(found), 1.0, "s", f"median {statistics.median(found):.3f} s"
    )


def visitors(report: Report, stack: Stack, page: Page, url: str) -> None:
    """What streams that are open cost the api."""
    import http.client
    from urllib.parse import urlsplit

    cookie = "; ".join(f"{c['name']}={c['value']}" for c in page.context.cookies())
    api, where = stack.part("api"), urlsplit(url)
    before = api.memory_full_info().uss
    open_ones = []
    for _ in range(VISITORS):
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
        connection.request("GET", "/live", headers={"Cookie": cookie})
        answer = connection.getresponse()
        answer.readline()
        open_ones.append((connection, answer))
    busy = api.cpu_percent(5)
    each = (api.memory_full_info().uss - before) / VISITORS
    for connection, _ in open_ones:
        connection.close()
    report.at_most(
        "memory of the api for each visitor", each / 1000, 200, "kB", f"{VISITORS} streams, {busy:.0f} % of a core"
    )


def main() -> int:
    """A million tasks, a thousand workers, a browser."""
    report, n = Report("ui"), scaled(1_000_000)
    with Stack(concurrency=2, LONGSHORE_RATE_LIMIT="0") as stack:
        stack.cli("worker", "pause", "--all")
        sub = stack.cli("submit", "--array", f"0-{n - 1}", "--", "sleep", "60").split(".")[0]
        until(lambda: stack.get(f"/submissions/{sub}", after=sub)["states"].get("queued") == n, 60, "projection")
        touch(stack, int(sub), n // 2)
        workers(stack, scaled(1000))
        profile = json.loads((stack.state / "client.json").read_text())
        url, token = profile["api_url"], Path(profile["api_token_file"]).read_text().strip()
        with sync_playwright() as playwright:
            server = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = signed_in(report, server, url, token)
            paints(report, page, url, sub)
            past, page = page, page.context.new_page()  # what forty loads left to be collected is not this tab's
            past.close()
            gone_through(report, page, url, sub)
            lags(report, stack, page, url)
            stack.cli("worker", "resume", "--all")
            busy = subprocess.Popen(
                [BIN / "longshore", "submit", "-q", "--priority", "5", "--array", "0-4999", "--", "true"], env=stack.environ,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
            page.goto(f"{url}/tasks?state=succeeded")
            page.wait_for_timeout(1000 * LIVE)
            busy.wait(30)
            memory(report, page)
            visitors(report, stack, page, url)
            server.close()
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
