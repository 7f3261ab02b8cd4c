"""The frame of HTML pages: one file that opens anywhere without a network. Charts are drawn by plotly, from its package."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from heyfleet.errors import InputError
from heyfleet.text import printable


def text(foreign: str) -> str:
    """Return a text as HTML that shows it, whatever it contains."""
    return escape(printable(foreign))


def page_start(title: str) -> str:
    """Return everything before the content."""
    css = (files("heyfleet.results.export") / "page.css").read_text()
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{text(title)} - heyfleet</title>\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # The page loads nothing, whatever a server's responses have put into it.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline';"
        " style-src 'unsafe-inline'; img-src data: blob:\">\n"
        f"<style>\n{css}</style>\n</head>\n<body>\n"
    )


def page_end(data: dict[str, Any]) -> str:
    """Return everything after the content: the data of the charts, and the script that draws them."""
    script = (files("heyfleet.results.export") / "page.js").read_text()
    values = json.dumps(data, separators=(",", ":")).replace(
        "<", "\\u003c"
    )  # so that it can't end its element
    return (
        f'<script type="application/json" id="data">{values}</script>\n'
        f"<script>{_plotly()}</script>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _plotly() -> str:
    spec = importlib.util.find_spec("plotly")  # not imported: that takes longer than everything else here
    if spec is None or spec.origin is None:
        raise InputError(
            "the page needs the package plotly, which is not installed", "run pip install plotly"
        )
    return Path(spec.origin).with_name("package_data").joinpath("plotly.min.js").read_text(encoding="utf-8")


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a section with a table; the cells are HTML."""
    cells = "".join(f"<th>{name}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return (
        f'<section><h2>{title}</h2><div class="wide"><table><thead><tr>{cells}</tr></thead>\n'
        f"<tbody>\n{body}</tbody></table></div></section>\n"
    )
