"""Rows of snapshots.csv."""

from __future__ import annotations

import pytest

from heyfleet.proto.control_pb2 import AgentInterval
from heyfleet.results.archive.snapshot_rows import HEADER, format_row, parse_row

FULL = AgentInterval(
    agent="a,b",
    begin_ns=1,
    end_ns=2,
    sent=3,
    responses=4,
    errors=5,
    abandoned=6,
    p50_ns=7,
    p99_ns=8,
    max_ns=9,
)
FEW = AgentInterval(agent="local", end_ns=2, sent=3, responses=2, p50_ns=7, max_ns=9)


def test_a_row_has_the_columns_of_the_header() -> None:
    assert len(format_row(FEW).split(",")) == len(HEADER.split(","))
    assert format_row(FULL) == "a,b,1,2,3,4,5,6,7,8,9\n"


def test_percentiles_of_small_samples_are_empty() -> None:
    assert format_row(FEW) == "local,0,2,3,2,0,0,7,,9\n"


@pytest.mark.parametrize("row", [FULL, FEW])
def test_rows_round_trip(row: AgentInterval) -> None:
    assert parse_row(format_row(row)) == row


@pytest.mark.parametrize(
    "line", ["", "local", "local,1,2,3", "local,x,2,3,4,5,6,7,8,9\n", "local,-1,2,-3,4,5,6,7,8,9\n"]
)
def test_damaged_rows(line: str) -> None:
    with pytest.raises(ValueError, match=r"invalid literal|zip|out of range"):
        parse_row(line)
