"""Merging of snapshots, each once and in any order, and the ledger, which finds losses."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from heyfleet.proto.counters import COUNTER_NAMES
from heyfleet.results.ledger import balance
from heyfleet.results.metrics import InvalidSnapshotError
from heyfleet.results.stats import Stats


def merged(snapshots: Any) -> Stats:
    stats = Stats()
    for snapshot in snapshots:
        stats.add(snapshot)
    return stats


def state(stats: Stats) -> Any:
    histograms = {
        name: (h.encode(), h.count, h.sum_ns, h.min_ns, h.max_ns, h.clamped)
        for name, h in stats.histograms.items()
    }
    return histograms, stats.responses, stats.errors, stats.counters, stats.end_ns


def three(kit: Any) -> list[Any]:
    return [
        kit.snapshot(1, latencies_ns=[1000, 2000], metrics={"wait": [900]}, bytes_sent=7, body_bytes=3),
        kit.snapshot(
            2, latencies_ns=[5_000_000] * 3, status=503, errors={"reset": 2, "other": 1}, abandoned=4
        ),
        kit.snapshot(
            1, agent="b", latencies_ns=[3_700_000_000_000], errors={"reset": 1}, connections_opened=9
        ),
    ]


def test_the_order_of_snapshots_does_not_matter(kit: Any) -> None:
    states = [state(merged(order)) for order in itertools.permutations(three(kit))]
    assert all(other == states[0] for other in states)


def test_sums(kit: Any) -> None:
    stats = merged(three(kit))
    latency = stats.histogram("latency")
    assert latency is not None
    assert (latency.count, latency.min_ns, latency.max_ns, latency.clamped) == (6, 1000, 3_700_000_000_000, 1)
    assert latency.sum_ns == 1000 + 2000 + 3 * 5_000_000 + 3_700_000_000_000
    assert stats.responses == {200: 3, 503: 3}
    assert stats.errors == {"reset": 3, "other": 1}
    assert stats.counters == {**dict.fromkeys(COUNTER_NAMES, 0), **stats.counters}
    assert stats.counters["sent"] == 2 + (3 + 3 + 4) + 2
    assert (
        stats.counters["abandoned"],
        stats.counters["connections_opened"],
        stats.counters["bytes_sent"],
    ) == (
        4,
        9,
        7,
    )
    assert stats.histogram("lag") is None


def test_a_repeated_snapshot_is_ignored(kit: Any) -> None:
    once, twice = Stats(), Stats()
    for snapshot in three(kit):
        assert once.add(snapshot)
        assert twice.add(snapshot)
        assert not twice.add(snapshot)
    assert state(once) == state(twice)


def test_missing_snapshots_are_counted(kit: Any) -> None:
    first, second, other = three(kit)
    assert merged([second, other]).missing("local", 3) == 2
    assert merged([first, second]).missing("local", 2) == 0


def test_the_ledger_of_a_run_without_faults(kit: Any) -> None:
    snapshots = three(kit)[:2]
    ledger = balance(kit.measured(snapshots, kit.done(snapshots, unsent=5)))
    assert (ledger.planned, ledger.sent, ledger.unsent) == (17, 12, 5)
    assert (ledger.responses, ledger.errors, ledger.abandoned) == (5, 3, 4)
    assert ledger.faults == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"planned": 18}, ["planned 18 is not sent 12 + unsent 5"]),
        (
            {"sent": 11, "planned": 16},
            ["sent: the snapshots add up to 12, the agent's total is 11", "sent 11 is not"],
        ),
        (
            {"responses": 6},
            ["responses: the snapshots add up to 5, the agent's total is 6", "sent 12 is not"],
        ),
        ({"errors": 2}, ["errors: the snapshots add up to 3, the agent's total is 2", "sent 12 is not"]),
        (
            {"abandoned": 0},
            ["abandoned: the snapshots add up to 4, the agent's total is 0", "sent 12 is not"],
        ),
        ({"last_sequence": 3}, ["1 of 3 snapshots did not arrive"]),
        ({"agent": "c"}, ["its totals are those of agent 'c'"]),
    ],
)
def test_the_ledger_names_contradictions(kit: Any, change: dict[str, Any], words: list[str]) -> None:
    snapshots = three(kit)[:2]
    ledger = balance(kit.measured(snapshots, kit.done(snapshots, unsent=5, **change)))
    assert len(ledger.faults) == len(words)
    assert all(fault.startswith(start) for fault, start in zip(ledger.faults, words, strict=True))


def test_responses_without_latencies_are_rejected(kit: Any) -> None:
    snapshot = kit.snapshot(latencies_ns=[1000])
    snapshot.responses[200] += 1
    snapshot.sent += 1
    with pytest.raises(InvalidSnapshotError, match="it has 2 responses but 1 latencies"):
        merged([snapshot])


def test_a_damaged_histogram_is_rejected(kit: Any) -> None:
    snapshot = kit.snapshot(latencies_ns=[1000])
    snapshot.histograms["latency"].counts_v2 = b"\0" * 40
    with pytest.raises(ValueError, match=r".+"):
        merged([snapshot])
