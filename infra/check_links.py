"""Every relative link and every path named in README.md, CHANGELOG.md and docs/ exists; every decision is in its index.

Prints what is wrong, one per line, and exits 1; prints nothing if all is well.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\(([^)\s]+)\)")
#: `libs/common`, `tests/e2e/test_stack.py`: words in backquotes that begin like a place in this repository.
PLACE = re.compile(r"`((?:libs|services|infra|tests|bench|docs|\.ci)/[A-Za-z0-9_./-]+)`")
HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """The documents that are checked."""
    tops = [page for name in ("README.md", "CHANGELOG.md") if (page := ROOT / name).exists()]
    return [*tops, *sorted((ROOT / "docs").rglob("*.md"))]


def broken_links(page: Path) -> Iterator[str]:
    """Links of this page that lead nowhere, in words."""
    text = FENCE.sub("", page.read_text())
    for target in LINK.findall(text):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):  # another scheme: not ours to check offline
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            yield f"links to {target}, which does not exist"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            yield f"links to {target}, but {file.name} has no such heading"


def missing_places(page: Path) -> Iterator[str]:
    """Paths of this repository the page names that do not exist, in words."""
    for named in PLACE.findall(page.read_text()):
        if "..." not in named and not (ROOT / named.rstrip("/.")).exists():
            yield f"names {named}, which does not exist"


def anchors(page: Path) -> set[str]:
    """The fragments of a page's headings, as code hosts make them."""
    words = (re.sub(r"[^\w\s-]", "", h.lower()).strip() for h in HEADING.findall(page.read_text()))
    return {re.sub(r"\s", "-", each) for each in words}


def unlisted_decisions() -> Iterator[str]:
    """Decisions that their index does not link, in words."""
    folder = ROOT / "docs/adr"
    if not folder.exists():
        return
    index = (folder / "README.md").read_text()
    for decision in sorted(folder.glob("[0-9]*.md")):
        if f"({decision.name})" not in index:
            yield f"docs/adr/README.md: does not list {decision.name}"


def main() -> int:
    """0 if nothing is wrong."""
    wrong = [
        f"{page.relative_to(ROOT)}: {what}" for page in pages() for what in (*broken_links(page), *missing_places(page))
    ]
    wrong += unlisted_decisions()
    print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
