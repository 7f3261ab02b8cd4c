"""Control characters in everything that others write: whatever is shown or kept of it is visible, and forges no line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from google.protobuf.message import Message

from heyfleet import console
from heyfleet.cli.main import main
from heyfleet.controller.fleet.registry import AgentRegistry, AttachRejectedError
from heyfleet.controller.live import Live
from heyfleet.controller.progress import Progress
from heyfleet.plan.build import make_plan
from heyfleet.plan.options import RunOptions
from heyfleet.proto.control_pb2 import (
    AgentInterval,
    AgentResult,
    AgentStatus,
    Bye,
    FromAgent,
    Hello,
    HostFacts,
    Interval,
    RunResult,
    RunStatus,
)
from heyfleet.proto.plan_pb2 import Plan, Request, Stage, Target
from heyfleet.proto.protocol import PROTOCOL
from heyfleet.results.archive.reader import ArchivedRun
from heyfleet.results.archive.writer import ArchiveWriter
from heyfleet.results.codec import from_message, to_message
from heyfleet.results.export.formats import FORMATS, render
from heyfleet.results.export.run_view import RunView, Selection
from heyfleet.results.report import json as json_report
from heyfleet.results.report import text as hey_report
from heyfleet.results.summary import summarize
from heyfleet.text import printable

TITLE = "\x1b]0;owned\x07"
FORGED = "heyfleet: run ffff is over"
HOSTILE = f"=cmd{TITLE}\r\nTrust: good\n{FORGED}\x9b2J\x85\u202e\u2028\u2066\u200b\ufffe,\"<b>'&"
# Fields with a fixed set of values, which a controller checks or never shows.
FIXED = {"stopped_by", "state", "scheme", "slo", "abort_on", "io"}


def planted(message: Message) -> Any:
    """Fill every text of a message with hostile text, also those that are empty."""
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        if is_map or field.name in FIXED:
            continue
        if field.message_type is not None:
            if field.is_repeated or message.HasField(field.name):
                for each in value if field.is_repeated else [value]:
                    planted(each)
        elif field.type == field.TYPE_STRING and field.is_repeated:
            value.append(HOSTILE)
        elif field.type == field.TYPE_STRING:
            setattr(message, field.name, f"{HOSTILE}{value}")
    return message


@pytest.fixture
def result(kit: Any) -> RunResult:
    """A run of a fleet with a lost agent; every text in it is hostile."""
    plan = make_plan(RunOptions(url="http://localhost/", requests=300, slo=("p99<1ns", "errors<1%")))
    played = kit.normal_run()
    played[0].errors["reset"] = 1
    played[0].errors[f"bad response: {TITLE}\n{FORGED}\x9b"] = 1
    played[0].addresses[f"::1{HOSTILE}"].responses = 1
    played[0].addresses["::2"].responses = 1
    played[0].sent += 2
    message = to_message(kit.measured(played, kit.done(played), plan=plan))
    message.agents_requested = 3
    message.agents.append(AgentResult(agent="b", host="b", state="lost", ready=message.agents[0].ready))
    message.plan.stages.extend(Stage(name=name, duration_ns=10**9, first=1, last=1) for name in "ab")
    message.plan.requests.append(Request(name="c", method="GET", request_target="/"))
    made: RunResult = planted(message)
    return made


@pytest.fixture
def archive(result: RunResult, kit: Any, tmp_path: Path) -> Path:
    """The archive of that run."""
    writer = ArchiveWriter(tmp_path / "run", result.plan)
    for second, snapshot in enumerate(kit.normal_run()):
        breakdown = snapshot.breakdowns.add(stage=second, request=second)
        breakdown.metrics.histograms["latency"].CopyFrom(snapshot.histograms["latency"])
        agents = [AgentInterval(agent=HOSTILE, end_ns=10**9, responses=2, p99_ns=5)]
        writer.add_interval(Interval(second=second, merged=snapshot, agents=agents))
    measurements = from_message(result)
    writer.finish(measurements, json_report.render(summarize(measurements)), 0)
    assert writer.error == ""
    return tmp_path / "run"


def assert_shown(text: str) -> None:
    """Check that a text has only visible characters and no line of another's making."""
    for line in text.split("\n"):
        assert line.replace("\t", "").isprintable(), repr(line)
        assert not line.startswith((FORGED, "Trust: good")), line
    text.encode()


def test_the_reports(result: RunResult) -> None:
    summary = summarize(from_message(result), per_agent=True)
    text = hey_report.render(summary)
    assert_shown(text)
    assert "\\x1b]0;owned\\x07" in text
    assert_shown(json_report.render(summary))
    assert HOSTILE in json.loads(json_report.render(summary))["fleet"]["agents"][1]["agent"]


def exported(archive: Path, name: str, **selected: Any) -> str:
    chunks: Iterator[Any] = render(name, RunView(ArchivedRun(archive), Selection(**selected)))
    return b"".join(chunk.encode() if isinstance(chunk, str) else chunk for chunk in chunks).decode()


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"parquet", "html"}))
def test_an_export(archive: Path, name: str) -> None:
    assert_shown(exported(archive, name))


def test_the_page(archive: Path) -> None:
    page = exported(archive, "html")
    assert_shown(page[: page.index("<script>")])
    assert "<b>" not in page[: page.index("<script>")]


def test_junit_is_well_formed(archive: Path) -> None:
    cases = ElementTree.fromstring(exported(archive, "junit")).iter("testcase")  # our own text
    assert len(list(cases)) >= 4


@pytest.mark.parametrize(("name", "selected"), [("csv", {}), ("series-csv", {"agent": printable(HOSTILE)})])
def test_no_cell_is_a_formula(archive: Path, name: str, selected: dict[str, str]) -> None:
    rows = list(csv.reader(io.StringIO(exported(archive, name, **selected))))
    assert len(rows) > 1
    assert len({len(row) for row in rows if len(row) > 4}) == 1
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]


def test_the_archive_s_files(archive: Path) -> None:
    for path in archive.iterdir():
        if path.suffix != ".pb":
            assert_shown(path.read_text(encoding="utf-8"))
    run = ArchivedRun(archive)
    assert len(list(run.intervals())) >= 2
    assert len(list(run.agents())) == 2


def test_the_commands(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["runs", "--runs", str(archive.parent)],
        ["runs", "show", str(archive)],
        ["runs", "show", "--json", str(archive)],
        ["runs", "show", HOSTILE],
        ["export", "--as", "csv", "--request", HOSTILE, str(archive)],
        ["compare", str(archive), HOSTILE],
        ["run", HOSTILE],
        ["run", "-D", HOSTILE, "http://localhost/"],
        ["run", f"-{HOSTILE}", "http://localhost/"],
        ["run", "-H", HOSTILE, "http://localhost/"],
        ["run", "--targets", HOSTILE],
        [HOSTILE],
    ):
        with pytest.raises(SystemExit):
            main(words)
        out, err = capsys.readouterr()
        assert_shown(out)
        assert_shown(err)
        assert out or err


def test_the_controller_s_log(capsys: pytest.CaptureFixture[str]) -> None:
    registry = AgentRegistry(log=console.info)
    hello = planted(Hello(protocol=PROTOCOL, facts=HostFacts(host="h")))
    with pytest.raises(AttachRejectedError) as caught:
        registry.attach(hello, None)
    assert_shown(str(caught.value))
    hello.agent = "a1"
    connection, stream = registry.attach(hello, None)
    registry.on_message(connection, FromAgent(bye=planted(Bye())))
    registry.detach(connection, stream)
    registry.reject(HOSTILE, HOSTILE)
    err = capsys.readouterr().err
    assert_shown(err)
    assert err.count("\n") == 3


def test_the_live_view_and_the_progress_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status = planted(RunStatus(stage="waiting", agents=[AgentStatus()], agents_requested=2))
    for is_terminal in (False, True):
        monkeypatch.setattr("sys.stderr.isatty", lambda answer=is_terminal: answer, raising=False)
        monkeypatch.setenv("TERM", "xterm")
        live = Live(quiet=False, now_s=map(float, range(0, 1000, 100)).__next__)
        live.log(HOSTILE)
        live.show(status)
        live.close()
    progress = Progress()
    progress.show_preparation(Plan(target=Target(host=HOSTILE)))
    progress.erase()
    err = capsys.readouterr().err
    assert "owned" in err
    for sign in (TITLE, "\x07", "\x9b", "\x85", "\u202e", "\u2028", "\u200b", f"\n{FORGED}"):
        assert sign not in err, repr(sign)
