"""Figures as a table, for the terminal and for docs/explain/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.errors import BenchError
from bench.figures import Cost, Figure
from bench.measure import Spread

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
FIGURE_HEAD = ("figure", "required", "median", "range", "")
COST_HEAD = ("load generator", "connections", "CPU us per request", "range", "user us", "requests/s")
VERDICTS = {True: "ok", False: "NOT MET", None: ""}


def number(value: float, digits: int) -> str:
    """Format a number with thousands separators."""
    return f"{value:,.{digits}f}"


def spread_range(values: Spread, digits: int) -> str:
    """Format the lowest and the highest value."""
    return f"{number(values.low, digits)} .. {number(values.high, digits)}"


def figure_row(figure: Figure) -> tuple[str, ...]:
    """Return the table row of a figure."""
    required = ""
    if figure.required is not None:
        required = f"{'<=' if figure.at_most else '>='} {figure.required:,.10g}"
    median, extent = (
        number(figure.values.median, figure.digits),
        spread_range(figure.values, figure.digits),
    )
    return (figure.name, required, median, extent, VERDICTS[figure.met])


def cost_row(cost: Cost) -> tuple[str, ...]:
    """Return the table row of a load generator."""
    return (
        cost.name,
        number(cost.connections, 0),
        number(cost.cpu_us.median, 2),
        spread_range(cost.cpu_us, 2),
        number(cost.user_us.median, 2),
        number(cost.requests_per_s.median, 0),
    )


def as_text(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Align columns for a terminal, all but the first to the right."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def as_markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, rule, *rows])


def section(command: str, machine: dict[str, str], figures: Sequence[Figure], costs: Sequence[Cost]) -> str:
    """Return the generated part of docs/explain/benchmarks.md."""
    parts = [
        f"Made by `{command}` on:",
        as_markdown(("", "measured with"), [(f"**{name}**", value) for name, value in machine.items()]),
        as_markdown(FIGURE_HEAD, map(figure_row, figures)),
    ]
    if costs:
        parts.append(as_markdown(COST_HEAD, map(cost_row, costs)))
    return "\n\n".join(parts)


def replace_section(page: str, text: str) -> str:
    """Replace the generated part of a page.

    Raises BenchError if the page lacks the two comments that enclose it.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchError(f"docs/explain/benchmarks.md has no part between {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"
