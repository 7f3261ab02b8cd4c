from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heyfleet.lab.vpc_lambda.account import Account, Call
from heyfleet.lab.vpc_lambda.settings import NEW, OLD, Settings, descriptions

PLAIN = Settings(
    duration=1.0,
    placement=(0.1, 0.1),
    runtime=(0.2, 0.2),
    init=(0.2, 0.2),
    overhead=(0.05, 0.05),
    reuse_after=0.0,
)


def told(account: Account, *instants_s: float) -> list[Call]:
    """What became of requests at these instants, in their order."""
    calls = [account.request(at_s) for at_s in instants_s]
    account.advance(math.inf if account.next_s is None else 1e9)
    return calls


def took(calls: list[Call]) -> list[Any]:
    return [pytest.approx(call.answered_s - call.arrived_s) for call in calls]


def test_a_cold_start_then_warm_ones_in_the_same_sandbox() -> None:
    account = Account(PLAIN)
    calls = told(account, 0.0, 2.0, 4.0)
    assert took(calls) == [1.55, 1.05, 1.05]
    assert (account.counts.cold_starts, account.counts.warm, account.sandboxes) == (1, 2, 1)


def test_a_sandbox_serves_one_at_a_time() -> None:
    account = Account(PLAIN)
    told(account, 0.0, 0.1, 0.2, 3.0, 3.1)
    assert (account.counts.cold_starts, account.counts.warm, account.counts.max_sandboxes) == (3, 2, 3)


def test_a_sandbox_is_dropped_after_its_idle_time() -> None:
    account = Account(replace(PLAIN, idle_expiry=10.0))
    told(account, 0.0, 11.0, 30.0)  # free since 1.5 and 12.0
    assert (account.counts.cold_starts, account.counts.expired, account.sandboxes) == (2, 1, 1)


def test_a_sandbox_is_not_taken_before_its_time() -> None:
    account = Account(replace(PLAIN, duration=0.01, reuse_after=1.0))
    told(account, 0.0, 2.0, 2.5, 3.0)
    assert (account.counts.cold_starts, account.counts.warm) == (2, 2)


def test_many_starts_at_once_share_their_speed() -> None:
    account = Account(replace(PLAIN, starts_at_once=10))
    calls = told(account, *[0.0] * 20)
    assert took(calls) == [2.05] * 20  # a start takes twice its half second


def test_executions_beyond_the_limit_are_throttled() -> None:
    account = Account(replace(PLAIN, concurrency_limit=2))
    calls = told(account, 0.0, 0.0, 0.0, 5.0)
    assert [call.status for call in calls] == [200, 200, 429, 200]
    assert took(calls)[2] == 0.05
    assert account.counts.throttled == Counter(concurrency=1)
    assert account.counts.first_throttled_s == 0.0


def test_a_throttled_one_may_look_as_a_proxy_integration_has_it() -> None:
    account = Account(replace(PLAIN, concurrency_limit=0, throttled_status=500))
    assert [call.status for call in told(account, 0.0)] == [500]


def test_new_sandboxes_beyond_the_burst_come_at_its_rate() -> None:
    account = Account(replace(PLAIN, burst=3, burst_refill=60.0))
    calls = told(account, 0.0, 0.0, 0.0, 0.0, 0.5, 1.0)
    assert [call.status for call in calls] == [200, 200, 200, 429, 429, 200]
    assert account.counts.throttled == Counter(burst=2)


def test_the_gateway_takes_so_many_requests() -> None:
    account = Account(replace(PLAIN, api_rps=2.0, api_burst=2, throttled_status=500))
    calls = told(account, 0.0, 0.0, 0.0, 0.5)
    assert [call.status for call in calls] == [200, 200, 429, 200]
    assert account.counts.throttled == Counter(api=1)


@pytest.mark.parametrize("duration_s", [28.9, 40.0])
def test_what_takes_too_long_gets_504_and_the_sandbox_works_on(duration_s: float) -> None:
    account = Account(replace(PLAIN, duration=duration_s, concurrency_limit=1))
    first, second, third = told(account, 0.0, 29.3, 100.0)
    assert (first.status, first.answered_s) == (504, 29.0)
    assert second.status == 429  # the first is still running
    assert third.status == (200 if duration_s < 29 else 504)  # warm by then
    assert account.counts.timed_out == 1 + (duration_s > 29)


def test_old_interfaces_are_made_by_the_formula_while_requests_wait() -> None:
    account = Account(replace(PLAIN, network=OLD, eni_time=(10.0, 10.0)))
    calls = told(account, *[0.0] * 50)
    assert account.interfaces.requested == 17  # 50 at a time * 1 GB / 3 GB
    assert took(calls) == [11.55] * 50
    later = told(account, 100.0)
    assert took(later) == [1.05]


def test_a_sandbox_that_finds_room_on_an_interface_does_not_wait() -> None:
    account = Account(replace(PLAIN, network=OLD, eni_time=(10.0, 10.0), duration=5.0))
    calls = told(account, 0.0, 11.0, 11.0, 11.0)
    assert took(calls) == [15.55, 5.55, 5.55, 15.55]


def test_a_dropped_sandbox_leaves_its_room_on_the_interface() -> None:
    account = Account(replace(PLAIN, network=OLD, eni_time=(10.0, 10.0), idle_expiry=60.0))
    told(account, 0.0, 0.0, 0.0)
    assert took(told(account, 200.0)) == [1.55]
    assert (account.interfaces.requested, account.counts.expired) == (1, 3)


@pytest.mark.parametrize(
    ("given_", "why"), [({"subnet_ips": 2}, "addresses"), ({"eni_burst": 2, "eni_rate": 0.0}, "rate")]
)
def test_an_invocation_fails_where_no_interface_may_be_made(given_: dict[str, Any], why: str) -> None:
    account = Account(replace(PLAIN, network=OLD, **given_))
    calls = told(account, *[0.0] * 9)
    assert Counter(call.status for call in calls) == {200: 6, 502: 3}
    assert account.counts.failed == Counter({why: 3})


def test_shared_interfaces_wait_for_nothing() -> None:
    account = Account(replace(PLAIN, subnet_ips=0, eni_burst=0))
    assert took(told(account, *[0.0] * 50)) == [1.55] * 50
    assert account.interfaces.requested == 1


def test_the_same_requests_get_the_same_answers() -> None:
    def once(seed: int) -> list[float]:
        account = Account(Settings(network=OLD, seed=seed))
        return [call.answered_s for call in told(account, *(number / 7 for number in range(200)))]

    assert once(1) == once(1) != once(2)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 60), min_size=1, max_size=120).map(sorted),
    st.sampled_from([OLD, NEW]),
    st.integers(0, 30),
    st.integers(0, 30),
    st.sampled_from([0.01, 1.0, 28.95, 35.0]),
    st.integers(0, 20),
)
def test_every_request_has_one_end_that_adds_up(
    instants_s: list[float], network: str, limit: int, burst: int, duration_s: float, subnet_ips: int
) -> None:
    account = Account(
        Settings(
            network=network, concurrency_limit=limit, burst=burst, duration=duration_s, subnet_ips=subnet_ips
        )
    )
    answered: list[Call] = []
    for at_s in instants_s:
        answered += account.advance(at_s)
        account.request(at_s)
        assert account.running <= limit
    answered += account.advance(1e9)
    counts = account.counts
    assert len({call.number for call in answered}) == len(answered) == counts.calls == len(instants_s)
    assert counts.calls == counts.warm + counts.cold_starts + counts.throttled.total() + counts.failed.total()
    assert counts.max_running <= min(limit, counts.max_sandboxes)
    assert account.running == 0
    by_status = Counter(call.status for call in answered)
    assert by_status[429] == counts.throttled.total()
    assert by_status[502] == counts.failed.total()
    assert by_status[504] == counts.timed_out
    assert all(0 <= call.answered_s - call.arrived_s <= 29.0 + 1e-9 for call in answered)
    assert [call.answered_s for call in answered] == sorted(call.answered_s for call in answered)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"network": "newer"}, "--network: must be old or new"),
        ({"memory": 10.0}, "--memory: must be 0.128 to 3"),
        ({"eni_time": (3.0, 2.0)}, "--eni-time: must be MIN-MAX"),
        ({"duration": -1.0}, "--duration: must be from 0 to 1000000"),
        ({"duration": math.nan}, "--duration: must be from 0 to 1000000"),
        ({"api_rps": math.inf}, "--api-rps: must be from 0 to 1000000"),
        ({"burst": -1}, "--burst: must not be negative"),
        ({"reuse_after": -0.1}, "--reuse-after: must be from 0 to 1000000"),
        ({"starts_at_once": 0}, "--starts-at-once: must be at least 1"),
        ({"throttled_status": 200}, "--throttled-status: must be 429 or 500 to 599"),
    ],
)
def test_an_invalid_setting_is_an_error_with_its_flag(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**values)


def test_the_reference_page_lists_each_setting_with_its_default_and_source() -> None:
    guide = (Path(__file__).parents[4] / "docs" / "reference" / "lab-vpc-lambda.md").read_text()
    for each in descriptions():
        value = each.default
        if isinstance(value, tuple):
            shown = f"{value[0]:g}-{value[1]:g}"
        else:
            shown = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        assert f"| `{each.flag}` | {shown} | {each.help} | {each.source} |" in guide
