"""Refusals of a runner for lack of memory or connections."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

from heyfleet.agent import runner
from heyfleet.plan.build import make_plan, whole_plan
from heyfleet.plan.keywords import options_from_values
from heyfleet.proto.stats_pb2 import Refusal


@pytest.mark.parametrize("error", [MemoryError, OverflowError])
def test_connections_that_do_not_fit_in_memory_are_refused(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def build_engine(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(runner, "build_engine", build_engine)
    values = {"connections": 4, "h2c": True, "streams": 200_000}
    plan = make_plan(options_from_values(values, "http://127.0.0.1:1/"))
    answer = runner.Runner().prepare(whole_plan(plan))
    assert isinstance(answer, Refusal)
    assert answer.reason == (
        "4 connections with --streams 200000 each need more memory than there is; use fewer of them, or more agents"
    )


def test_the_error_of_too_many_users_names_their_flag() -> None:
    plan = make_plan(options_from_values({"users": 1_000_000_000, "duration": 1}, "http://127.0.0.1:1/"))
    answer = runner.Runner().prepare(whole_plan(plan))
    assert isinstance(answer, Refusal)
    assert answer.reason.startswith("--users 1000000000 needs ")
    assert "-c " not in answer.reason


@pytest.mark.parametrize(
    ("values", "most"),
    [
        ({"rate": "1000M/s", "connections": 10, "cpus": 2}, "20000000/s"),
        ({"rate": "11M/s", "connections": 1, "cpus": 2}, "10000000/s"),
        ({"rate_per_connection": 5e6, "connections": 9, "cpus": 2}, "18000000/s"),
    ],
)
def test_a_schedule_that_would_take_all_of_a_worker_is_refused(values: dict[str, Any], most: str) -> None:
    plan = make_plan(options_from_values({**values, "duration": 1}, "http://127.0.0.1:1/"))
    answer = runner.Runner().prepare(whole_plan(plan))
    assert isinstance(answer, Refusal)
    assert "can schedule, which is 10M/s for each worker" in answer.reason
    assert answer.reason.endswith(f"use {most} at most, or more agents")


@pytest.mark.parametrize(
    "error", [MemoryError(), ValueError("no ring"), OSError(12, "Cannot allocate memory")]
)
def test_an_engine_that_ends_at_once_is_a_refusal_with_its_cause(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        prepared = True
        connections_open = 0
        io_name = io_note = ""

        def run(self) -> NoReturn:
            raise error

        def stop(self) -> None:
            pass

    monkeypatch.setattr(runner, "build_engine", lambda *_: Broken())
    plan = make_plan(options_from_values({"connections": 1}, "http://127.0.0.1:1/"))
    broken = runner.Runner()
    answer = broken.prepare(whole_plan(plan))
    for worker in broken._workers:
        worker.join()
    answer = answer if isinstance(answer, Refusal) else Refusal(reason=broken._fault())
    assert answer.reason.startswith((str(error), "MemoryError", "Cannot allocate memory"))
