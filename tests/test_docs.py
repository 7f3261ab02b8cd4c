"""The docs are complete: every page can be reached from the index, and the index of decisions says what they say."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
DECISIONS = DOCS / "internals" / "decisions"
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
ANCHOR = re.compile(r"\]\(([^)#\s]*)#([^)\s]+)\)")
HEAD = re.compile(r"# (\d+)\. (.+)\n\nStatus: ([^.;]+)(?:; [^.]+)?\. Date: (\d{4}-\d\d-\d\d)\.\n")
ROW = re.compile(r"^\| \[(\d+)\]\(([^)]+)\) \| (.+) \| (.+) \| (\d{4}-\d\d-\d\d) \|$", re.MULTILINE)


def linked_pages(page: Path) -> set[Path]:
    return {
        (page.parent / link).resolve()
        for link in LINK.findall(page.read_text())
        if not re.match(r"[a-z]+:", link)
    }


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_index() -> None:
    reached = linked_pages(DOCS / "README.md") | linked_pages(DECISIONS / "README.md") | {DOCS / "README.md"}
    assert {str(page.relative_to(ROOT)) for page in DOCS.rglob("*.md") if page not in reached} == set()


def test_anchors_lead_to_headings() -> None:
    dead = []
    for page in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]:
        for link, anchor in ANCHOR.findall(page.read_text()):
            target = (page.parent / link).resolve() if link else page
            if not link.startswith("http") and target.suffix == ".md" and anchor not in anchors(target):
                dead.append(f"{page.relative_to(ROOT)}: {link}#{anchor}")
    assert dead == []


def test_the_index_of_decisions_says_what_they_say() -> None:
    pages = {}
    for page in sorted(DECISIONS.glob("0*.md")):
        head = HEAD.match(page.read_text())
        assert head, f"{page.name} does not begin with its number, title, status and date"
        assert int(page.name[:4]) == int(head[1])
        pages[page.name] = head.groups()
    rows = {
        name: (number, *rest) for number, name, *rest in ROW.findall((DECISIONS / "README.md").read_text())
    }
    assert rows == pages
