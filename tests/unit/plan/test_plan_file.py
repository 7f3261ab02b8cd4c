"""Plan files: how they are read, their errors, and that `plan show` writes what `-f` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from heyfleet.cli.main import main
from heyfleet.cli.run import planned, run_command
from heyfleet.plan.plan_file import PlanFileError, load
from heyfleet.proto.plan_pb2 import IPV4, RATE, Plan

from ...certificates import Authority

GOOD = """\
url: http://localhost:8080/
rate: 5k/s
duration: 30s
warmup: 5s
slo: [p99<250ms, "errors<0.1%", "p95[log in]<1s"]
headers:
  Accept: text/plain
  X-Token: abc
requests:
  - name: home
    weight: 3
  - name: log in
    method: post
    path: /login?next=/ä
    body: "user=1"
    content-type: application/x-www-form-urlencoded
    headers: ["X-Token: def"]
    expect: [200, 3xx, 401-403]
    weight: 0.5
"""


def no_fleet(launch_options: dict[str, Any], agents: int) -> Any:
    pytest.fail("no fleet is needed")


def plan_from(args: list[str]) -> Plan:
    plan, _, _ = planned(run_command(lambda: pytest.fail("no agent is needed"), no_fleet), args)
    return plan


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(text: str) -> str:
        path = tmp_path / "plan.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_options_and_requests_are_read(file: Any) -> None:
    plan = plan_from(["-f", file(GOOD)])
    assert (plan.load_model, plan.stages[0].first, plan.duration_ns, plan.warmup_ns) == (
        RATE,
        5000,
        30 * 10**9,
        5 * 10**9,
    )
    assert list(plan.slo) == ["p99<250ms", "errors<0.1%", "p95[log in]<1s"]
    home, login = plan.requests
    assert (home.name, home.weight, home.method, home.request_target) == ("home", 6, "GET", "/")
    assert (login.name, login.weight, login.method) == ("log in", 1, "POST")
    assert login.request_target == "/login?next=/%C3%A4"
    assert login.body == b"user=1"
    assert [(each.first, each.last) for each in login.expected] == [(200, 200), (300, 399), (401, 403)]
    headers = {header.name: header.value for header in login.headers}
    assert headers["X-Token"] == "def"
    assert headers["Accept"] == "text/plain"
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert {header.name: header.value for header in home.headers}["X-Token"] == "abc"


def test_flags_override_the_file(file: Any) -> None:
    plan = plan_from(["-f", file(GOOD), "--rate", "10", "-z", "1s", "-H", "X: 1", "http://other/"])
    assert (plan.stages[0].first, plan.duration_ns, plan.target.host) == (10, 10**9, "other")
    assert "X" in {header.name for header in plan.requests[0].headers}


def test_plan_show_prints_a_file_of_the_same_plan(file: Any, tmp_path: Path) -> None:
    args = [
        "-f",
        file(GOOD),
        "--seed",
        "5",
        "-disable-keepalive",
        "--stages",
        "a=1s:0-10, 2s:10",
        "--warmup",
        "1s",
    ]
    # A rate and stages exclude each other, so the file's rate has to go.
    Path(args[1]).write_text(
        GOOD.replace("rate: 5k/s\n", "").replace("duration: 30s\n", ""), encoding="utf-8"
    )
    shown = CliRunner().invoke(main, ["plan", "show", *args])
    assert shown.exit_code == 0, shown.output
    again = tmp_path / "again.yaml"
    again.write_text(shown.output, encoding="utf-8")
    assert plan_from(["-f", str(again)]) == plan_from(args)


def test_files_are_relative_to_the_plan_file(file: Any, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_bytes(b"{}")
    plan = plan_from(["-f", file("url: http://h/\nmethod: POST\nbody-file: body.json\n")])
    assert plan.requests[0].body == b"{}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("url: http://h/\nrats: 5\n", ":2: rats: there is no such field; did you mean rate?"),
        ("url: http://h/\nrate: fast\n", ":2: rate: 'fast' is not a rate"),
        ("url: http://h/\nrate: -5\n", ":2: rate: '-5' is not a rate"),
        ("url: http://h/\nrate: [1, 2]\n", ":2: rate: it takes one value"),
        ("url: http://h/\nrate:\n", ":2: rate: it has no value"),
        ("url: http://h/\nrate: 1\nrate: 2\n", ":3: rate: it is there twice, first in line 2"),
        ("rate: 5\n", "url is missing"),
        ("url: h\n", ":1: url: .* has no scheme"),
        ("url: http://h/\nduration: 5\n", ":2: duration: '5' is not a duration .* write 5s"),
        ("url: http://h/\ncatch-up: perhaps\n", ":2: catch-up: 'perhaps' is neither true nor false"),
        ("url: http://h/\nbody-file: none\n", ":2: body-file: there is no file"),
        ("url: http://h/\nslo: p99\n", ":2: slo: 'p99' is not a threshold"),
        ("url: http://h/\nstages: 1s\n", ":2: stages: '1s' is not a stage"),
        ("url: http://h/\nheaders:\n  ? [a]\n  : b\n", ":3: headers: the name of a header must be a word"),
        ("url: http://h/\nAuthorization Bearer s3cret: 1\n", ":2: Authorization ...: there is no such field"),
        ("url: http://h/\nheaders: 5\n", ":2: headers: write them as fields"),
        ("url: http://h/\nheaders:\n  Content-Length: 5\n", ":3: headers: Content-Length can't be set"),
        ("url: http://h/\nheaders:\n  A: 1\n  A: 2\n", ":4: headers: A: it is there twice, first in line 3"),
        ("url: http://h/\nrequests: many\n", ":2: requests: 'many' is not a whole number"),
        ("url: http://h/\nrequests: {a: 1}\n", ":2: requests: it takes a number of requests, or a list"),
        (
            "url: http://h/\ncount: 5\nrequests: 5\n",
            ":3: requests: it is there twice under two names, first in line 2",
        ),
        ("url: http://h/\nrequests:\n  - /a\n", r":3: requests\[1\]: it has no fields"),
        (
            "url: http://h/\nrequests:\n  - paht: /a\n",
            r":3: requests\[1\].paht: there is no such field; did you mean path",
        ),
        ('url: http://h/\nrequests:\n  - path: "/a b"\n', r":3: requests\[1\].path: '/a b' has a space"),
        ("url: http://h/\nrequests:\n  - path: a\n", r":3: requests\[1\].path: 'a' does not begin with /"),
        ("url: http://h/\nrequests:\n  - weight: 0\n", r":3: requests\[1\].weight: '0' is not a weight"),
        ("url: http://h/\nrequests:\n  - expect: ok\n", r":3: requests\[1\].expect: 'ok' is not a status"),
        (
            "url: http://h/\nrequests:\n  - name: a\n  - name: a\n",
            r":4: requests\[2\].name: 'a' is already .* line 3",
        ),
        (
            "url: http://h/\nrequests:\n  - body: a\n    body-file: b\n",
            r":4: requests\[1\].body-file: there is no file",
        ),
        ("url: [\n", ":2: not YAML"),
        ("- 5\n", ":1: a plan has fields"),
        ("", ":1: a plan has fields"),
    ],
)
def test_errors_name_line_and_field(file: Any, text: str, message: str) -> None:
    with pytest.raises(PlanFileError, match=message):
        plan_from(["-f", file(text)])


def test_a_missing_file() -> None:
    with pytest.raises(PlanFileError, match=r"plan file: can't read 'none.yaml': No such file"):
        plan_from(["-f", "none.yaml"])


def test_plan_check_summarizes_a_plan(file: Any) -> None:
    done = CliRunner().invoke(main, ["plan", "check", file(GOOD)])
    assert done.exit_code == 0
    assert "good: 35 s, at most 5000 requests/s over 1000 connections" in done.output
    assert "request log in: 1 of 7: POST /login" in done.output


def test_plan_check_fails_on_a_bad_plan(file: Any) -> None:
    done = CliRunner().invoke(main, ["plan", "check", file("rate: 5\n")])
    assert done.exit_code == 2
    assert "url is missing" in done.stderr


def test_connection_options(file: Any, tmp_path: Path) -> None:
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    rules = 'resolve: ["a.test:443:127.0.0.1", "b.test:443:::1"]\nconnect-to: c.test:1:d.test:2\n'
    plan = plan_from(["-f", file(f"url: https://a.test/\ncacert: ca.pem\ntls: 1.3\nipv4: true\n{rules}")])
    assert (plan.tls.ca_pem, plan.tls.version, plan.family) == (authority.pem, "1.3", IPV4)
    assert [(rule.host, rule.to_hosts[0]) for rule in plan.resolve] == [
        ("a.test", "127.0.0.1"),
        ("b.test", "::1"),
        ("c.test", "d.test"),
    ]


@pytest.mark.parametrize(
    "spelled", ["for: 1h\nwith: [python=python3, port=22]", "for_: 1h\nwith_: {python: python3, port: 22}"]
)
def test_names_that_are_keywords_of_python(file: Any, spelled: str) -> None:
    texts = load(file(f"url: http://a.test/\n{spelled}\n")).texts
    assert (texts["for_"], texts["with_"]) == ("1h", ["python=python3", "port=22"])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("for_: 1x", r"plan.yaml:2: for: '1x' is not a duration"),
        ("for-: 1h", r"plan.yaml:2: for-: there is no such field; did you mean for"),
        ("for: 1h\nfor_: 1h", r"plan.yaml:3: for: it is there twice, first in line 2"),
        ("with: {python: [a]}", r"plan.yaml:2: with.python: it takes one value"),
        ("with: {python: a, python: b}", r"plan.yaml:2: with.python: it is there twice"),
        ('requests: [{name: "\\ud800"}]', r"plan.yaml:2: requests\[1\].name: .* half of a surrogate pair"),
        ('requests: [{body: "\\ud800"}]', r"plan.yaml:2: requests\[1\].body: .* half of a surrogate pair"),
        ('slo: "p99[\\ud800]<1s"', r"plan.yaml:2: slo: .* half of a surrogate pair"),
        ("cacert: none.pem", r"plan.yaml:2: cacert: there is no file '.*none.pem'"),
        ("resolve:\n  - a.test:443:127.0.0.1\n  - a.test", r"plan.yaml:4: resolve: 'a.test' is not like"),
        ("tls: 1.1", r"plan.yaml:2: tls: '1.1' is unknown; use 1.2 or 1.3"),
    ],
)
def test_bad_connection_options(file: Any, text: str, error: str) -> None:
    with pytest.raises(PlanFileError, match=error):
        plan_from(["-f", file(f"url: https://a.test/\n{text}\n")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("url: http://h/\nbody: a\0b\n", "plan file: '.*plan.yaml' is not text: line 2 has a NUL byte"),
        ("url: http://h/\nbody: a\x07\n", ":2: not YAML: it has a control character"),
        ("url: http://h/\nslo: " + "[" * 5000, ":2: it nests deeper than 100 levels"),
        ("{" * 100_000, ":1: it nests deeper than 100 levels"),
    ],
)
def test_a_plan_file_of_a_stranger_has_limits(file: Any, text: str, message: str) -> None:
    with pytest.raises(PlanFileError, match=message):
        plan_from(["-f", file(text)])


def test_a_device_is_no_plan_file() -> None:
    with pytest.raises(PlanFileError, match="plan file: can't read '/dev/zero': it is a device"):
        plan_from(["-f", "/dev/zero"])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_plan_file_may_have_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "plan.yaml").write_bytes("url: http://h/\nbody: grün\n".encode(encoding))
    assert plan_from(["-f", str(tmp_path / "plan.yaml")]).requests[0].body.decode() == "grün"


def test_plan_show_quotes_what_nests_too_deeply(file: Any) -> None:
    body = "[" * 5000
    shown = CliRunner().invoke(main, ["plan", "show", "-m", "POST", "-d", body, "http://h/"])
    assert shown.exit_code == 0, shown.output
    assert plan_from(["-f", file(shown.output)]).requests[0].body.decode() == body
