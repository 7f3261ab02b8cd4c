"""The command line: options from flags, errors of bad input, and help."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from click.testing import CliRunner

from heyfleet import __version__
from heyfleet.cli import run as command
from heyfleet.cli.main import COMMANDS, Main, main
from heyfleet.plan.options import RunOptions

URL = "http://localhost:8080/"
DEFAULTS = RunOptions(url=URL)


def no_factory(*_arguments: Any) -> Any:
    """Stand in for the factories of agents and fleets."""


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[RunOptions]:
    """The options of each run that the command would make; no run takes place."""
    recorded: list[RunOptions] = []

    def run_and_report(options: RunOptions, _executor: Any, _archiver: Any, _live_exports: Any) -> int:
        recorded.append(options)
        return 0

    monkeypatch.setattr("heyfleet.cli.run_report.run_and_report", run_and_report)
    monkeypatch.setitem(COMMANDS, "run", (lambda: command.run_command(no_factory, no_factory), ""))
    return recorded


def invoke(*args: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, args)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("args", "changes"),
    [
        ([URL], {}),
        (["-n", "5", URL], {"requests": 5}),
        (["-n=5", URL], {"requests": 5}),
        (["--n", "5", URL], {"requests": 5}),
        (["--n=5", URL], {"requests": 5}),
        ([URL, "-n", "5"], {"requests": 5}),
        (["-n", "5", URL, "-c=2"], {"requests": 5, "connections": 2}),
        (["-n", "5", "-n", "6", URL], {"requests": 6}),
        (["-n", "5", "--", URL], {"requests": 5}),
        (["-z=10s", URL], {"duration_ns": 10_000_000_000}),
        (["-z", "1h30m", "-n", "9", URL], {"duration_ns": 5_400_000_000_000, "requests": 9}),
        (["-q", "2.5", URL], {"rate_per_connection": 2.5}),
        (["-t", "1.5", URL], {"timeout_ns": 1_500_000_000}),
        (["-t", "0", URL], {"timeout_ns": 0}),
        (["-m", "post", URL], {"method": "POST"}),
        (["-d", "-n", URL], {"body": "-n"}),
        (["-d=a=b", URL], {"body": "a=b"}),
        (["-d", "", URL], {"body": ""}),
        (["-d=", URL], {"body": ""}),
        (["-D", "file", URL], {"body_file": "file"}),
        (["-H", "A: 1", URL, "-H", "B:", "-H=A: 2"], {"headers": (("A", "1"), ("B", ""), ("A", "2"))}),
        (["-A", "text/html", "-T", "a/b"], {"accept": "text/html", "content_type": "a/b"}),
        (["-U", "me/1", URL], {"user_agent": "me/1"}),
        (["-a", "me:pass:word", URL], {"credentials": "me:pass:word"}),
        (["-host", "other:81", URL], {"host": "other:81"}),
        (["-disable-keepalive", URL], {"disable_keepalive": True}),
        (["--disable-keepalive", URL], {"disable_keepalive": True}),
        (["-disable-keepalive=true", URL], {"disable_keepalive": True}),
        (["-disable-keepalive=false", URL], {}),
        (
            ["-disable-compression", "-disable-redirects"],
            {"disable_compression": True, "disable_redirects": True},
        ),
        (["-cpus", "3", URL], {"workers": 3}),
        (["--io", "epoll", URL], {"io": "epoll"}),
        (["-io=auto", URL], {}),
        (["-o", "csv", URL], {"output": "csv"}),
        (["-json", URL], {"output": "json"}),
        (["--json", URL], {"output": "json"}),
        (["-x", "", "-h2=false", URL], {}),
    ],
)
def test_flags(runs: list[RunOptions], args: list[str], changes: dict[str, Any]) -> None:
    code, _, err = invoke("run", *args, *([] if URL in args else [URL]))
    assert (code, err) == (0, "")
    assert runs == [dataclasses.replace(DEFAULTS, **changes)]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "no URL given; try heyfleet run http://localhost:8080/"),
        (["-disable-keepaliv", URL], "unknown flag -disable-keepaliv; did you mean --disable-keepalive?"),
        (
            ["--disable-keep-alive", URL],
            "unknown flag --disable-keep-alive; did you mean --disable-keepalive?",
        ),
        (["-dfoo", URL], "unknown flag -dfoo"),
        (["-n200", URL], "unknown flag -n200"),
        (["-N", "5", URL], "unknown flag -N; did you mean -n?"),
        (["-frobnicate=1", URL], "unknown flag -frobnicate; heyfleet run -h shows all flags"),
        (["---n", "5", URL], "unknown flag ---n"),
        ([URL, "-n"], "-n needs a value"),
        (["-n", "many", URL], "-n: 'many' is not a whole number"),
        (["-n", "0", URL], "-n: 0 is too small"),
        (["-c", "-1", URL], "-c: -1 is too small"),
        (["-c", "99999999999", URL], "-c: 99999999999 is too large"),
        (["-q", "nan", URL], "-q: 'nan' is not a rate"),
        (["-z", "10", URL], "-z: '10' is not a duration"),
        (["-t", "soon", URL], "-t: 'soon' is not a duration"),
        (["-m", "GE T", URL], "-m: 'GE T' is not a request method"),
        (["-H", "A", URL], "-H: 'A' has no colon"),
        (["-H", "A: 1", "-H", "B: 1\r\nC: 2", URL], "-H: ' 1\\r\\nC: 2' has a line break"),
        (["-A", "a\nb", URL], "-A: 'a\\nb' has a line break"),
        (["-U", "a\nb", URL], "-U: 'a\\nb' has a line break"),
        (["-T", "a\nb", URL], "-T: 'a\\nb' has a line break"),
        (["-a", "me", URL], "-a: no colon"),
        (["-host", "a b", URL], "-host: 'a b' is not a host"),
        (["-cpus", "0", URL], "-cpus: 0 is too small"),
        (["--io", "kqueue", URL], "--io: 'kqueue' is unknown; use auto, io_uring or epoll"),
        (["-o", "xml", URL], "-o: 'xml' is unknown; use csv or json"),
        (["-o", "csv", "--json", URL], "-o csv and --json exclude each other"),
        (["-disable-keepalive=maybe", URL], "-disable-keepalive: 'maybe' is neither true nor false"),
        (
            ["-x", "https://proxy:3128", URL],
            "-x: 'https://proxy:3128' is a proxy of https; only HTTP proxies",
        ),
        ([URL, "http://b/"], "one URL is enough: 'http://localhost:8080/', then 'http://b/'"),
        (["-bad\nflag", URL], "unknown flag -bad flag"),
    ],
)
def test_bad_input(runs: list[RunOptions], args: list[str], words: str) -> None:
    code, out, err = invoke("run", *args)
    assert (code, out) == (2, "")
    assert err.startswith(f"heyfleet: {words}")
    assert err.count("\n") == 1
    assert runs == []


@pytest.mark.parametrize("flag", ["-h", "-help", "--help"])
def test_help_shows_every_flag(flag: str) -> None:
    code, out, err = invoke("run", flag)
    assert (code, err) == (0, "")
    assert out.startswith("Usage: ")
    for param in command.run_command(no_factory, no_factory).params:
        assert getattr(param, "hidden", False) or param.name == "url" or f"  {param.opts[0]}" in out
    assert "heyfleet run -n 10k -c 100 http://localhost:8080/" in out


def test_the_general_help_imports_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Main, "get_command", None)
    code, out, _ = invoke("--help")
    assert code == 0
    assert "practice targets" in out


@pytest.mark.parametrize(
    ("args", "words"),
    [([URL], "try heyfleet run [flags] URL"), (["-n", "5", URL], "try heyfleet run [flags] URL")],
)
def test_a_missing_subcommand(args: list[str], words: str) -> None:
    code, _, err = invoke(*args)
    assert code == 2
    assert words in err
    assert err.count("\n") == 1


def test_no_arguments_show_the_help() -> None:
    code, out, err = invoke()
    assert (code, out) == (2, "")
    assert err.startswith("Usage: ")


def test_version() -> None:
    assert invoke("--version") == (0, f"heyfleet {__version__}\n", "")


def test_a_fault_is_one_line(runs: list[RunOptions], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> int:
        raise RuntimeError("one\ntwo")

    monkeypatch.setattr("heyfleet.cli.run_report.run_and_report", fail)
    assert invoke("run", URL) == (
        1,
        "",
        "heyfleet: fault: RuntimeError: one two (HEYFLEET_DEBUG=1 shows where)\n",
    )
    monkeypatch.setenv("HEYFLEET_DEBUG", "1")
    assert isinstance(CliRunner().invoke(main, ["run", URL]).exception, RuntimeError)


def test_an_interrupt_outside_of_the_run(runs: list[RunOptions], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("heyfleet.cli.run_report.run_and_report", interrupt)
    assert invoke("run", URL)[0] == 130
