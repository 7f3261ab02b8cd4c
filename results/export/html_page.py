"""What pages have in common: one file that opens anywhere, without a network. The charts are plotly's, from its package."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from heyfleet.errors import InputError


def head(title: str) -> str:
    """All up to the content."""
    css = (files("heyfleet.results.export") / "page.css").read_text()
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)} - heyfleet</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # Nothing is fetched, whatever a server's answers have put into this page.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline';"
        " style-src 'unsafe-inline'; img-src data: blob:\">\n"
        f"<style>\n{css}</style>\n</head>\n<body>\n"
    )


def foot(data: dict[str, Any]) -> str:
    """What draws the charts, and all after it."""
    script = (files("heyfleet.results.export") / "page.js").read_text()
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")  # which can't end its element
    return (
        f'<script type="application/json" id="data">{text}</script>\n'
        f"<script>{_plotly()}</script>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _plotly() -> str:
    found = importlib.util.find_spec("plotly")  # not imported: that takes longer than all else here
    if found is None or found.origin is None:
        raise InputError("a page needs the package plotly: pip install plotly")
    return Path(found.origin).with_name("package_data").joinpath("plotly.min.js").read_text(encoding="utf-8")


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML."""
    cells = "".join(f"<th>{name}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return (
        f'<section><h2>{title}</h2><div class="wide"><table><thead><tr>{cells}</tr></thead>\n'
        f"<tbody>\n{body}</tbody></table></div></section>\n"
    )
