from __future__ import annotations

import pytest

from bench import modes


def test_the_original_has_its_modes() -> None:
    """Return latencies at the upper mark of each of hey's bars, except two that lie between the modes."""
    known = modes.original()
    for name, between in (("1-before", 2.625), ("1-after", 0.180), ("2", 0.0)):
        bars = [(mark, count) for mark, count in known[name]["histogram"] if mark != between]
        findings = modes.check_modes(
            name, [mark for mark, count in bars for _ in range(count)], known[name]["total"]
        )
        assert [each for each in findings if not each.passed] == []


def test_the_originals_bars_add_up_to_its_requests() -> None:
    known = modes.original()
    sums = {name: sum(count for _, count in known[name]["histogram"]) for name in modes.MODES}
    assert sums == {"1-before": 500, "1-after": 500, "2": 10_000}


@pytest.mark.parametrize(
    ("latencies_s", "total_s", "missed"),
    [
        ([0.05] * 450 + [11.0] * 50, 13.0, []),
        ([0.05] * 430 + [11.0] * 70, 13.0, ["requests below 1.4 s"]),
        ([0.05] * 450 + [11.0] * 49 + [14.0], 13.0, ["all others"]),
        ([0.05] * 450 + [11.0] * 49 + [2.0], 13.0, ["all others"]),
        ([0.05] * 450 + [11.0] * 50, 17.0, ["total"]),
        ([0.05] * 450, 13.0, ["all others"]),
    ],
)
def test_other_modes_fail(latencies_s: list[float], total_s: float, missed: list[str]) -> None:
    findings = modes.check_modes("1-before", latencies_s, total_s)
    assert [each.name for each in findings if not each.passed] == missed


def test_counts_are_compared_with_the_targets() -> None:
    stats = {"requests": 5, "answers": {"200": 3, "429": 2}, "throttled": {"concurrency": 2}}
    assert all(each.passed for each in modes.check_counts({200: 3, 429: 2}, 5, stats))
    assert [each.passed for each in modes.check_counts({200: 3, 429: 1}, 5, stats)] == [True, False, False]
    assert [each.passed for each in modes.check_counts({200: 3, 429: 2}, 6, stats)] == [False, True, True]


@pytest.mark.parametrize(
    ("from_s", "second", "held"), [(10.05, 10, True), (9.4, 9, False), (10.2, 8, False), (None, None, False)]
)
def test_when_throttling_begins(from_s: float | None, second: int | None, held: bool) -> None:
    assert all(each.passed for each in modes.check_throttling(from_s, second)) is held


def test_latencies_are_counted_by_bar() -> None:
    assert modes.count_by_bar([0.5, 1.0, 1.1, 2.5, 9.0], [1.0, 2.0, 3.0]) == [2, 1, 1, 1]
