"""`heyfleet lab vpc-lambda` as a process: its counters and those of heyfleet agree."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from heyfleet.cli.lab import lab

from ..conftest import VpcLambda
from .command import measure


def test_a_function_answers_and_the_second_time_it_is_warm(
    start_vpc_lambda: Callable[..., VpcLambda],
) -> None:
    target = start_vpc_lambda("--time-scale", "0.01")
    for method, path in (("GET", "/"), ("POST", "/any/path?x=1")):
        connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=10)
        connection.request(method, path, body=b"x" * 100_000 if method == "POST" else None)
        answer = connection.getresponse()
        assert (answer.status, answer.read(), answer.headers["content-type"]) == (200, b"hello", "text/plain")
        connection.close()
    stats = target.stats()
    assert (stats["requests"], stats["cold_starts"], stats["warm"], stats["sandboxes"]) == (2, 1, 1, 1)
    assert stats["answers"] == {"200": 2}
    assert stats["latency_s"]["max"] >= 0.3  # the model's seconds
    assert target.summary() == "heyfleet lab: 2 requests: 1 warm, 1 cold starts; 1 sandboxes, 1 interfaces\n"


@pytest.mark.parametrize("network", ["old", "new"])
def test_the_first_experiment_over_a_fleet_in_a_fifth_of_its_time(
    start_vpc_lambda: Callable[..., VpcLambda], network: str
) -> None:
    target = start_vpc_lambda("--network", network, "--time-scale", "0.2")
    report = measure("-n", "500", "-c", "50", "--local-agents", "2", target.url("/"))
    stats = target.stats()
    assert report["statuses"] == {"200": 500}
    assert stats["answers"] == {"200": 500}
    assert (stats["requests"], stats["abandoned"], stats["in_flight"]) == (500, 0, 0)
    assert stats["warm"] + stats["cold_starts"] == 500
    assert stats["cold_starts"] >= 50
    assert stats["enis"] == (17 if network == "old" else 1)
    slow_ns = 9e9 if network == "old" else 0.3e9
    assert report["latency"]["slowest_ns"] >= slow_ns * 0.2


def test_each_way_to_be_refused_is_counted_alike_on_both_sides(
    start_vpc_lambda: Callable[..., VpcLambda],
) -> None:
    flags = ("--concurrency-limit", "20", "--burst", "10", "--api-rps", "400", "--api-burst", "30")
    target = start_vpc_lambda("--time-scale", "0.2", "--duration", "0.2", "--throttled-status", "500", *flags)
    report = measure("-n", "2000", "-c", "60", target.url("/"))
    stats = target.stats()
    assert report["statuses"] == stats["answers"]
    assert stats["answers"].keys() == {"200", "429", "500"}
    assert stats["answers"]["429"] == stats["throttled"]["api"] > 0
    assert (
        stats["answers"]["500"] == stats["throttled"]["burst"] + stats["throttled"].get("concurrency", 0) > 0
    )
    assert stats["most_running"] <= 20
    assert "throttled by burst" in target.summary()


def test_interfaces_that_can_not_be_made(start_vpc_lambda: Callable[..., VpcLambda]) -> None:
    target = start_vpc_lambda(
        "--network", "old", "--time-scale", "0.02", "--subnet-ips", "3", "--duration", "1"
    )
    report = measure("-n", "20", "-c", "20", target.url("/"))
    assert report["statuses"] == {"200": 9, "502": 11} == target.stats()["answers"]
    assert target.stats()["failed"] == {"addresses": 11}
    assert "11 failed by addresses of interfaces; 9 sandboxes, 3 interfaces" in target.summary()


def test_what_takes_too_long_is_a_504(start_vpc_lambda: Callable[..., VpcLambda]) -> None:
    target = start_vpc_lambda("--time-scale", "0.01", "--duration", "40")
    report = measure("-n", "4", "-c", "4", target.url("/"))
    assert report["statuses"] == {"504": 4}
    assert report["latency"]["fastest_ns"] >= 0.29e9
    assert target.stats()["timed_out"] == 4


def test_a_caller_who_leaves_is_counted_and_the_execution_goes_on(
    start_vpc_lambda: Callable[..., VpcLambda],
) -> None:
    target = start_vpc_lambda("--duration", "30", "--gateway-timeout", "60")
    with socket.create_connection(("127.0.0.1", target.port)) as caller:
        caller.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while target.stats()["in_flight"] == 0:
            pass
    while (stats := target.stats())["abandoned"] == 0:
        pass
    assert (stats["in_flight"], stats["running"], stats["answers"]) == (0, 1, {})
    assert "1 abandoned" in target.summary()  # also while it runs


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--host", "0.0.0.0"], "Error: --host 0.0.0.0 would let other hosts connect; add --allow-remote to permit that"),
        (["--network", "newer"], "Error: --network: must be old or new"),
        (["--eni-time", "3-2"], "Error: Invalid value for '--eni-time': '3-2' is not a range"),
        (["--init", "fast"], "Error: Invalid value for '--init': 'fast' is not MIN-MAX in seconds, such as 0.3-0.5"),
        (["--memory", "10"], "Error: --memory: must be 0.128 to 3"),
        (["--time-scale", "0"], "Error: Invalid value for '--time-scale'"),
        (["--throttled-status", "200"], "Error: --throttled-status: must be 429 or 500 to 599"),
    ],
)  # fmt: skip
def test_a_bad_flag_is_one_line(flags: list[str], message: str) -> None:
    result = CliRunner().invoke(lab, ["vpc-lambda", *flags])
    assert result.exit_code != 0
    assert result.output.splitlines()[-1].startswith(message)


def test_a_port_in_use_is_one_line(start_vpc_lambda: Callable[..., VpcLambda]) -> None:
    port = str(start_vpc_lambda().port)
    result = CliRunner().invoke(lab, ["vpc-lambda", "--port", port])
    assert result.exit_code == 1
    assert result.output == f"Error: can't listen on 127.0.0.1 port {port}: Address already in use\n"
