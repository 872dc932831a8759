"""The browser of tests and benches, and how it is started: without a screen, quietly, also as root.

What must not enter: what is looked at with it.
"""

import os
import shutil
from typing import Final

CHROMIUM: Final = os.environ.get("LONGSHORE_CHROMIUM") or shutil.which("chromium") or "chromium"
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
