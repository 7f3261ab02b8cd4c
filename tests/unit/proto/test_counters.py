"""Counter names are read from the schema."""

from __future__ import annotations

from heyfleet.ext import COUNTER_NAMES as ENGINE_COUNTER_NAMES
from heyfleet.proto.counters import ADDRESS_COUNTER_NAMES, COUNTER_NAMES
from heyfleet.proto.stats_pb2 import AddressMetrics, Snapshot


def test_counters_are_integers_of_a_snapshot() -> None:
    snapshot = Snapshot()
    for name in COUNTER_NAMES:
        setattr(snapshot, name, 7)
    assert [getattr(snapshot, name) for name in COUNTER_NAMES] == [7] * len(COUNTER_NAMES)
    assert {"sent", "dropped", "retries", "unsolicited_responses"} <= set(COUNTER_NAMES)


def test_instants_and_the_sequence_are_not_counters() -> None:
    assert not {"sequence", "begin_ns", "end_ns", "first_worker_ns", "last_worker_ns"} & set(COUNTER_NAMES)


def test_address_counters_are_integers_of_an_address() -> None:
    metrics = AddressMetrics()
    for name in ADDRESS_COUNTER_NAMES:
        setattr(metrics, name, 3)
    assert metrics == AddressMetrics(connections=3, failures=3, responses=3, errors=3)


def test_the_engine_counts_what_the_schema_declares() -> None:
    assert set(ENGINE_COUNTER_NAMES) == set(COUNTER_NAMES)
