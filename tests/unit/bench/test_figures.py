"""Figures computed from runs, and tables of figures."""

from __future__ import annotations

import pytest

from bench import table
from bench.__main__ import exit_code
from bench.errors import BenchError
from bench.figures import OURS, OURS_EPOLL, Figure, Results, cost, count_mismatch, cpu_figures
from bench.instructions import parse_total
from bench.measure import Run, Spread
from bench.memory import parse_rss
from bench.peers import PEERS, BareLoop, Hey
from bench.target import parse_status

SPREAD = Spread(1.25, 1.0, 1500.0)


def run(cpu_s: float, requests: int = 1_000_000, output: str = "") -> Run:
    return Run(user_s=0, system_s=cpu_s, wall_s=2, output=output, requests=requests)


def test_limits_are_lower_or_upper() -> None:
    assert Figure("f", SPREAD, 1.25).met is True
    assert Figure("f", SPREAD, 1.26).met is False
    assert Figure("f", SPREAD, 1.25, at_most=True).met is True
    assert Figure("f", SPREAD, 1.24, at_most=True).met is False
    assert Figure("f", SPREAD).met is None


def test_exit_code() -> None:
    good, bad, told = Figure("g", SPREAD, 1), Figure("b", SPREAD, 2), Figure("t", SPREAD)
    assert exit_code(Results([good, told]), complete=True) == 0
    assert exit_code(Results([good, bad]), complete=True) == 1
    assert exit_code(Results([good]), complete=False) == 2


def test_ratios_of_a_round() -> None:
    costs_us = {peer.name: 10.0 for peer in PEERS} | {OURS: 5.0, OURS_EPOLL: 8.0, "hey": 40.0}
    rounds = [{name: run(us) for name, us in costs_us.items()}]
    figures = cpu_figures(rounds, 1000, {(OURS, "wrk"): 1.35, (OURS, "hey"): 8.5})
    assert [figure.values.median for figure in figures] == pytest.approx([2.0, 8.0, 1.25])
    assert [figure.met for figure in figures] == [True, False, None]
    assert "1,000 connections" in figures[0].name


def test_cost_of_a_generator() -> None:
    found = cost([{"wrk": run(6)}, {"wrk": run(8)}, {"wrk": run(9)}], "wrk", 64)
    assert found.cpu_us == pytest.approx((8, 6, 9))
    assert found.requests_per_s.median == 500_000


def test_counts_may_differ_by_requests_in_flight() -> None:
    loop = BareLoop("epoll")
    assert count_mismatch(loop, run(1, requests=1064, output="1000"), 64) is None
    warning = count_mismatch(loop, run(1, requests=1065, output="1000"), 64)
    assert warning is not None
    assert "reports 1,000 requests, nginx counted 1,065" in warning


def test_a_generator_without_a_count_is_not_checked() -> None:
    output = "Status code distribution:\n  [200]\t1000000 responses\n"
    assert count_mismatch(Hey(), run(1, requests=1_500_000, output=output), 64) is None


STATUS = "Active connections: 65 \nserver accepts handled requests\n 70 70 1234 \nReading: 0 Writing: 1 Waiting: 64 \n"


def test_the_status_excludes_its_own_requests() -> None:
    assert parse_status(STATUS, own_requests=4) == (64, 1230)


def test_a_page_without_status_is_an_error() -> None:
    with pytest.raises(BenchError, match="no status"):
        parse_status("hello", own_requests=1)


def test_callgrind_total() -> None:
    assert parse_total("version: 1\nevents: Ir\nfn=(1)\n1 5\ntotals: 987654321\n") == 987_654_321
    with pytest.raises(BenchError, match="no total"):
        parse_total("version: 1\n")


def test_rss_in_bytes() -> None:
    assert parse_rss("5583-7ffd ---p [rollup]\nRss:     40324 kB\nPss:     30000 kB\n") == 40324 * 1024
    with pytest.raises(BenchError, match="no Rss"):
        parse_rss("Pss: 1 kB\n")


def test_rows() -> None:
    assert table.figure_row(Figure("f", SPREAD, 1.2)) == ("f", ">= 1.2", "1.25", "1.00 .. 1,500.00", "ok")
    slow = Figure("f", Spread(2000, 1, 2), 1800, at_most=True, digits=0)
    assert table.figure_row(slow) == ("f", "<= 1,800", "2,000", "1 .. 2", "NOT MET")
    assert table.figure_row(Figure("f", SPREAD))[1::3] == ("", "")


def test_columns_are_aligned() -> None:
    assert table.as_text(("name", "n"), [("a", "1,000"), ("long name", "2")]) == (
        "name           n\na          1,000\nlong name      2"
    )


def test_markdown() -> None:
    assert table.as_markdown(("name", "n"), [("a", "1")]) == "| name | n |\n| --- | ---: |\n| a | 1 |"


def test_the_section_names_its_command() -> None:
    text = table.section("python -m bench --write", {"CPU": "a fast one"}, [Figure("speed", SPREAD, 2)], [])
    assert "`python -m bench --write`" in text
    assert "| **CPU** | a fast one |" in text
    assert "| speed | >= 2 | 1.25 | 1.00 .. 1,500.00 | NOT MET |" in text


def test_only_the_generated_part_is_replaced() -> None:
    page = f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n"
    assert table.replace_section(page, "new") == f"before\n{table.BEGIN}\nnew\n{table.END}\nafter\n"


@pytest.mark.parametrize("page", ["nothing", table.BEGIN, table.END, f"{table.END}{table.BEGIN}"])
def test_a_page_without_marks_is_an_error(page: str) -> None:
    with pytest.raises(BenchError, match="has no part"):
        table.replace_section(page, "new")
