"""The three experiments in the model's own time: their shapes are the model's, whatever chance says."""

from __future__ import annotations

from collections import Counter

import pytest

from bench import modes
from heyfleet.lab.vpc_lambda.account import Account
from heyfleet.lab.vpc_lambda.settings import NEW, OLD, Settings

from .clients import closed_loops, users

SEEDS = range(1, 11)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("turnaround_s", [0.0002, 0.003])
def test_experiment_1_before(seed: int, turnaround_s: float) -> None:
    account = Account(Settings(network=OLD, seed=seed))
    outcome = closed_loops(account, 500, 50, turnaround_s, 0.01)
    assert [
        each for each in modes.check_modes("1-before", outcome.latencies_s, outcome.end_s) if not each.passed
    ] == []
    assert account.interfaces.requested == 17


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("turnaround_s", [0.0002, 0.003])
def test_experiment_1_after(seed: int, turnaround_s: float) -> None:
    account = Account(Settings(network=NEW, seed=seed))
    outcome = closed_loops(account, 500, 50, turnaround_s, 0.01)
    assert [
        each for each in modes.check_modes("1-after", outcome.latencies_s, outcome.end_s) if not each.passed
    ] == []
    assert account.interfaces.requested == 1


@pytest.mark.parametrize("seed", SEEDS[:3])
@pytest.mark.parametrize("begin_s", [0.0, 0.1])
def test_experiment_2(seed: int, begin_s: float) -> None:
    account = Account(Settings(duration=2.0, seed=seed))
    outcome = closed_loops(account, 10_000, 1000, 0.001, begin_s)
    assert [
        each for each in modes.check_modes("2", outcome.latencies_s, outcome.end_s) if not each.passed
    ] == []
    assert Counter(outcome.statuses) == {200: 10_000}


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_experiment_3(seed: int) -> None:
    account = Account(Settings(duration=3.0, seed=seed))
    users(account, 1100, 100.0, 12.0)
    from_s = account.counts.first_throttled_s
    assert from_s is not None
    assert [each for each in modes.check_throttling(from_s, int(from_s)) if not each.passed] == []
    assert account.counts.throttled.keys() == {"concurrency"}
    assert account.counts.max_running == 1000


def test_without_the_delay_of_reuse_each_worker_has_one_sandbox() -> None:
    """What that setting was assumed for: the source's 62 slow requests, at fifty workers, need some cause."""
    account = Account(Settings(network=NEW, reuse_after=0.0))
    outcome = closed_loops(account, 500, 50, 0.0002, 0.01)
    assert sum(latency_s > 0.13 for latency_s in outcome.latencies_s) == 50
