"""The CPU time of runs, and comparisons of rounds."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from bench.errors import BenchError
from bench.measure import Run, efficiency, interleave, run_counted, run_pinned, spread


def run(cpu_s: float, requests: int) -> Run:
    return Run(user_s=cpu_s / 4, system_s=cpu_s * 3 / 4, wall_s=1, output="", requests=requests)


@pytest.fixture
def core() -> int:
    return min(os.sched_getaffinity(0))


def test_cpu_time_per_request_includes_system_time() -> None:
    one = run(cpu_s=2, requests=1_000_000)
    assert one.cpu_us_per_request == pytest.approx(2.0)
    assert one.user_us_per_request == pytest.approx(0.5)


def test_spread_is_median_and_range() -> None:
    assert spread(iter([3.0, 1.0, 10.0])) == (3.0, 1.0, 10.0)


def test_efficiency_compares_within_a_round() -> None:
    """A machine that is slow for one round affects both alike; separate medians would give 1.5 here."""
    rounds = [
        {"a": run(1, 100), "b": run(2, 100)},
        {"a": run(10, 100), "b": run(20, 100)},
        {"a": run(2, 100), "b": run(3, 100)},
    ]
    assert efficiency(rounds, "a", "b") == pytest.approx((2.0, 1.5, 2.0))


def test_efficiency_counts_requests() -> None:
    rounds = [{"a": run(1, 300), "b": run(1, 100)}]
    assert efficiency(rounds, "a", "b").median == pytest.approx(3.0)


def test_commands_run_in_turn() -> None:
    order: list[str] = []

    def player(name: str) -> Run:
        order.append(name)
        return run(1, len(order))

    rounds = interleave({"a": lambda: player("a"), "b": lambda: player("b")}, 2)
    assert order == ["a", "b", "a", "b"]
    assert [each["b"].requests for each in rounds] == [2, 4]


def test_a_command_runs_on_its_core_only(core: int) -> None:
    code = "import os; print(sorted(os.sched_getaffinity(0)), os.environ['GREETING'])"
    done = run_pinned([sys.executable, "-c", code], core, {"GREETING": "hello"})
    assert done.output == f"[{core}] hello\n"
    assert done.cpu_s > 0


def test_cpu_time_covers_the_command_only(core: int) -> None:
    """The command computes until it has used 0.3 s of CPU time, however long that takes."""
    code = "import time\nwhile time.process_time() < 0.3: pass"
    assert run_pinned([sys.executable, "-c", code], core).cpu_s >= 0.29


def test_a_failed_command_is_an_error_with_its_output(core: int) -> None:
    with pytest.raises(BenchError, match=r"exit code 3: no such luck"):
        run_pinned(
            [sys.executable, "-c", "import sys; print('no such luck', file=sys.stderr); sys.exit(3)"], core
        )


def counter(*values: int) -> Iterator[int]:
    return iter(values)


def test_requests_are_those_that_the_server_counted(core: int) -> None:
    counts = counter(1000, 1234)
    assert run_counted([sys.executable, "-c", "pass"], core, {}, lambda: next(counts)).requests == 234


def test_a_command_that_sends_nothing_is_an_error(core: int) -> None:
    counts = counter(1000, 1000)
    with pytest.raises(BenchError, match="the server received no request"):
        run_counted([sys.executable, "-c", "pass"], core, {}, lambda: next(counts))
