"""A stack of two workers, a headless Chromium, and who looks: each visitor has a context of their own, watched for errors."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, sync_playwright

from longshore_common.testing.chromium import CHROMIUM, FLAGS

LONGSHORE = Path(sys.executable).with_name("longshore")
#: Pictures of every page are kept here.
PICTURES = Path(os.environ.get("LONGSHORE_PICTURES") or "build/pictures")


class Yard:
    """The stack, and what one types on its host."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environ = os.environ | {"LONGSHORE_STATE_DIR": str(root), "HOME": str(root), "NO_COLOR": "1"}

    def say(self, *words: str) -> str:
        done = subprocess.run(
            [LONGSHORE, *words], env=self.environ, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout.strip()

    def submit(self, *words: str) -> str:
        """The id that is printed."""
        return self.say("submit", "-q", *words)

    @property
    def url(self) -> str:
        found: str = json.loads((self.root / "client.json").read_text())["api_url"]
        return found

    @property
    def token(self) -> str:
        return (self.root / "secrets" / "api-token").read_text().strip()

    def wait(self, ids: str) -> None:
        """Till these tasks are over, however they ended."""
        subprocess.run([LONGSHORE, "wait", ids], env=self.environ, capture_output=True, timeout=60, check=False)


@pytest.fixture(scope="session")
def yard() -> Iterator[Yard]:
    root = Path(tempfile.mkdtemp(prefix="longshore-browser-"))
    root.chmod(0o755)
    made = Yard(root)
    made.say("up", "--detach", "--workers", "2", "--concurrency", "2")
    try:
        yield made
    finally:
        subprocess.run([LONGSHORE, "down"], env=made.environ, capture_output=True, timeout=90, check=False)
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Visitor:
    """One who looks: a page that is signed in, and what went wrong on it."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context, self.url = context, url
        self.troubles: list[str] = []
        self.expected: list[str] = []
        context.set_default_timeout(15_000)
        context.on("page", self._watch)
        self.page: Page = context.new_page()

    def _watch(self, page: Page) -> None:
        page.on("console", lambda said: self.troubles.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on(
            "request", lambda request: None if request.url.startswith((self.url, "data:")) else self._foreign(request)
        )

    def _foreign(self, request: Any) -> None:
        self.troubles.append(f"asked elsewhere: {request.url}")

    def enter(self, secret: str) -> Page:
        """Sign in."""
        self.page.goto(f"{self.url}/sign-in")
        self.page.fill("#secret", secret)
        self.page.click("button:has-text('Sign in')")
        self.page.wait_for_url(f"{self.url}/")
        return self.page

    def go(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def close(self) -> None:
        odd = [t for t in self.troubles if not any(word in t for word in self.expected)]
        self.context.close()
        assert odd == []


@pytest.fixture
def visit(yard: Yard, chromium: Browser) -> Iterator[Callable[..., Visitor]]:
    """`visit(secret=…, **context)`: somebody signed in, as the stack's owner if no secret is given."""
    here: list[Visitor] = []

    def made(secret: str = "", **more: Any) -> Visitor:
        given: dict[str, Any] = {"viewport": {"width": 1360, "height": 900}} | more
        visitor = Visitor(chromium.new_context(**given), yard.url)
        here.append(visitor)
        visitor.enter(secret or yard.token)
        return visitor

    yield made
    for visitor in here:
        visitor.close()


@pytest.fixture
def page(visit: Callable[..., Visitor]) -> Page:
    """The owner's page."""
    return visit().page


def toast(page: Page, text: str) -> Locator:
    """The note that says this."""
    found = page.locator(".toast", has_text=text).last
    found.wait_for()
    return found
