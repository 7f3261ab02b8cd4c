"""--targets, --template and --data: what a server receives from one process and from two agents."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from ..conftest import Nginx
from ..recorder import Recorder
from .command import heyfleet, measure

ROWS = 60


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "rows.csv"
    path.write_text("id,name\n" + "".join(f"{number},n {number}\n" for number in range(ROWS)))
    return str(path)


def test_targets_take_turns_and_have_their_own_statistics(nginx: Nginx, tmp_path: Path) -> None:
    (tmp_path / "body").write_text("abc")
    (tmp_path / "targets").write_text(
        f"GET {nginx.url('/')}\nX-A: 1\n\nPOST {nginx.url('/')}\n@{tmp_path / 'body'}\nGET {nginx.url('/files/16KiB')}\n"
    )
    report = measure("-n", "1000", "-c", "7", "--targets", str(tmp_path / "targets"))
    lines = {line["name"]: line["responses"] for line in report["requests"]}
    assert lines == {"GET /": 334, "POST /": 333, "GET /files/16KiB": 333}
    assert [each["method"] for each in report["plan"]["requests"]] == ["GET", "POST", "GET"]


def test_weights_through_two_agents(nginx: Nginx, tmp_path: Path) -> None:
    (tmp_path / "targets").write_text(
        '{"url": "/", "weight": 3, "name": "often"}\n{"url": "/files/16KiB", "name": "seldom"}\n'
    )
    report = measure(
        "-n", "400", "-c", "6", "--local-agents", "2", "--targets", str(tmp_path / "targets"), nginx.url("/")
    )
    assert {line["name"]: line["sent"] for line in report["requests"]} == {"often": 300, "seldom": 100}


def test_the_report_shortens_many_targets(nginx: Nginx, tmp_path: Path) -> None:
    (tmp_path / "targets").write_text("".join(f"GET {nginx.url('/')}?{number}\n" for number in range(200)))
    text = heyfleet("run", "-n", "400", "-c", "4", "--targets", str(tmp_path / "targets")).stdout
    assert "... and 160 more; --json has all of them" in text


def test_text_is_sent_as_typed_from_every_source(tmp_path: Path) -> None:
    """é alone, in every place that takes text, is the two bytes that it has in UTF-8."""
    (tmp_path / "plan.yaml").write_text("url: http://localhost/\nheaders: {X: é}\n", encoding="utf-8")
    (tmp_path / "targets").write_text("GET /é\nX: é\n", encoding="utf-8")
    with Recorder() as server:
        url = server.url("/é?é")
        for flags in (
            ("-H", "X: é", url),
            ("-f", str(tmp_path / "plan.yaml"), url),
            ("--targets", str(tmp_path / "targets"), server.url("/")),
            ("--template", "-H", "X: é", "-H", "Y: {seq}", url),
            ("--template", "-H", "X: é", "-m", "POST", "-d", "é{seq}", url),
            ("-H", "X: é", "-a", "é:é", "-H", "Host: é.test", url),
            ("-H", "X: é", "-U", "é", "-A", "é", "-T", "é", "-host", "é.test", url),
        ):
            measure("-n", "1", "-c", "1", *flags)
    heads = [head for head, _ in server.requests]
    assert len(heads) == 7
    assert all(b"X: \xc3\xa9\r\n" in head for head in heads)
    assert all(b"GET /%C3%A9" in head or b"POST /%C3%A9" in head for head in heads)
    assert server.requests[4][1] == b"\xc3\xa90"
    assert b"Host: \xc3\xa9.test\r\n" in heads[5]
    assert b"Authorization: Basic w6k6w6k=\r\n" in heads[5]
    assert b"Host: xn--9ca.test\r\n" in heads[6]
    for name in (b"User-Agent", b"Accept", b"Content-Type"):
        assert name + b": \xc3\xa9\r\n" in heads[6]


def test_a_column_may_have_any_name(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("größe,é\nä,1\n", encoding="utf-8")
    with Recorder() as server:
        data = ("--template", "--data", str(tmp_path / "rows.csv"), "-H", "X: é{csv:größe}")
        measure(
            "-n", "1", "-c", "1", *data, "-m", "POST", "-d", "é{csv:größe}{csv:é}", server.url("/{csv:größe}")
        )
    ((head, body),) = server.requests
    assert body == "éä1".encode()
    assert "X: éä\r\n".encode() in head
    assert head.startswith(b"POST /%C3%A4 ")


def test_the_whole_server_can_be_asked(tmp_path: Path) -> None:
    with Recorder() as server:
        (tmp_path / "plan.yaml").write_text(
            f'url: {server.url("/")}\nrequests:\n  - {{method: OPTIONS, path: "*"}}\n'
        )
        (tmp_path / "targets").write_text("OPTIONS *\n")
        report = measure("-n", "1", "-f", str(tmp_path / "plan.yaml"))
        measure("-n", "1", "--targets", str(tmp_path / "targets"), server.url("/"))
        measure("-n", "1", "-x", f"127.0.0.1:{server.port}", "-f", str(tmp_path / "plan.yaml"))
        (tmp_path / "targets").write_text("GET *\n")
        refused = heyfleet("run", "-n", "1", "--targets", str(tmp_path / "targets"), server.url("/"))
    lines = [head.partition(b"\r\n")[0].decode() for head, _ in server.requests]
    assert lines == ["OPTIONS * HTTP/1.1"] * 2 + [f"OPTIONS {server.url('')} HTTP/1.1"]
    assert report["plan"]["url"] == server.url("")
    assert refused.exit_code == 2
    assert "only OPTIONS can ask about the whole server; give a path" in refused.stderr


def test_headers_of_flags_apply_unless_a_target_has_its_own(tmp_path: Path) -> None:
    with Recorder() as server:
        (tmp_path / "targets").write_text(f"GET {server.url('/a')}\nX-A: own\n\nGET {server.url('/b')}\n")
        measure(
            "-n", "2", "-c", "1", "-H", "X-A: all", "-H", "X-B: all", "--targets", str(tmp_path / "targets")
        )
    first, second = (head for head, _ in server.requests)
    assert b"X-A: own\r\n" in first
    assert b"X-A: all" not in first
    assert b"X-B: all\r\n" in first
    assert b"X-A: all\r\n" in second


@pytest.mark.parametrize("fleet", [(), ("--local-agents", "2")])
def test_data_once_uses_each_row_once(rows: str, fleet: tuple[str, ...]) -> None:
    with Recorder() as server:
        report = measure(
            "-c", "7", *fleet, "--template", "--data", rows, "--data-once", server.url("/{csv:id}/{seq}")
        )
    assert report["ledger"]["planned"] == ROWS
    assert Counter(server.targets) == Counter(f"/{number}/{number}" for number in range(ROWS))
    assert report["plan"]["data_rows"] == ROWS


def test_rows_repeat(rows: str) -> None:
    with Recorder() as server:
        measure("-n", str(2 * ROWS + 1), "-c", "5", "--template", "--data", rows, server.url("/{csv:name}"))
    counts = Counter(server.targets)
    assert counts["/n%200"] == 3
    assert {counts[f"/n%20{number}"] for number in range(1, ROWS)} == {2}


@pytest.mark.parametrize(
    "profile",
    [("--rate", "300", "-z", "1s"), ("-q", "50", "-z", "1s"), ("--users", "4", "-n", "200", "-z", "20s")],
)
def test_sequence_numbers_are_unique_in_every_load_profile(profile: tuple[str, ...]) -> None:
    with Recorder() as server:
        report = measure(
            *profile, *(() if "--users" in profile else ("-c", "4")), "--template", server.url("/{seq}")
        )
    numbers = sorted(int(target[1:]) for target in server.targets)
    assert len(set(numbers)) == len(numbers) == report["ledger"]["sent"]


def test_a_seed_repeats_the_random_values_of_a_run() -> None:
    with Recorder() as server:
        for seed in ((), (), ("--seed", "5"), ("--seed", "5")):
            measure("-n", "3", "-c", "1", *seed, "--template", server.url("/{uuid}"))
    runs = [server.targets[at : at + 3] for at in range(0, 12, 3)]
    assert runs[0] != runs[1]
    assert runs[2] == runs[3]


def test_templates_in_a_plan_file(tmp_path: Path, rows: str) -> None:
    with Recorder() as server:
        (tmp_path / "plan.yaml").write_text(
            f"url: {server.url('/')}\ncount: 4\nconnections: 1\ntemplate: true\ndata: {Path(rows).name}\n"
            "requests:\n  - name: a\n    path: /a/{csv:id}\n"
            "  - name: b\n    path: /b/{seq}\n    method: POST\n    body: '{\"n\": {seq}}'\n"
        )
        outcome = heyfleet("run", "--json", "-f", str(tmp_path / "plan.yaml"))
        assert outcome.exit_code == 0, outcome.stderr
        assert outcome.report["statuses"] == {"200": 4}
        assert server.targets == ["/a/0", "/b/1", "/a/2", "/b/3"]
        assert server.requests[3][1] == b'{"n": 3}'


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--template", "http://a/{foo}"], "{foo} is not a placeholder"),
        (["--template", "http://a/{csv:id}"], "name it with --data"),
        (["--template", "--data-once", "http://a/{seq}"], "name their file with --data"),
        (["--data", "ROWS", "http://a/"], "add --template"),
        (["--data-once", "http://a/"], "add --template"),
        (["--template", "--data", "ROWS", "http://a/{csv:nope}"], "no such column; known are id, name"),
        (
            ["--template", "--data", "ROWS", "--data-once", "-n", "61", "http://a/{csv:id}"],
            "only the 60 rows",
        ),
        (
            ["--template", "--data", "ROWS", "--data-once", "--warmup", "1s", "http://a/{csv:id}"],
            "exclude each other",
        ),
        (["--template", "--data", "/dev/null", "http://a/{csv:id}"], "a first row with column names"),
        (["--template", "--data", "/nowhere.csv", "http://a/{csv:id}"], "can't read '/nowhere.csv'"),
        (["--targets", "/nowhere"], "can't read '/nowhere'"),
        (["--targets", "ROWS"], "line 1: 'id,name' is not a target"),
        (["--targets", "ROWS", "-m", "POST"], "-m, -d or -D exclude each other"),
    ],
)
def test_bad_options_are_refused_before_anything_is_sent(rows: str, flags: list[str], words: str) -> None:
    outcome = heyfleet("run", *(rows if flag == "ROWS" else flag for flag in flags))
    assert outcome.exit_code == 2
    assert words in outcome.stderr


def test_a_row_that_would_break_a_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('a,b\n1,"x\ny"\n')
    outcome = heyfleet(
        "run", "--template", "--data", str(tmp_path / "rows.csv"), "-H", "X: {csv:b}", "http://a/"
    )
    assert outcome.exit_code == 2
    assert "row 2: b: a header can't hold a line break" in outcome.stderr


def test_a_plan_too_large_for_agents_is_refused(tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(bytes(16 << 20))
    outcome = heyfleet(
        "run",
        "-n",
        "1",
        "--local-agents",
        "1",
        "-m",
        "POST",
        "-D",
        str(tmp_path / "body"),
        "http://localhost:1/",
    )
    assert outcome.exit_code == 2
    assert "the plan with its bodies and data has 16.0 MiB" in outcome.stderr


def test_too_many_targets_are_refused(tmp_path: Path) -> None:
    (tmp_path / "targets").write_text("".join(f"GET http://a/{number}\n" for number in range(1025)))
    outcome = heyfleet("run", "--targets", str(tmp_path / "targets"))
    assert outcome.exit_code == 2
    assert "--template and --data" in outcome.stderr
