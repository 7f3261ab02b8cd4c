"""A secret in every place where a plan can have one, and no byte of it in anything that is printed, sent on or kept."""

from __future__ import annotations

import base64
import http.server
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from heyfleet.cli.main import main
from heyfleet.results.archive.reader import ArchivedRun
from heyfleet.results.export.formats import FORMATS, render
from heyfleet.results.export.run_view import RunView

from ..certificates import Authority
from ..ports import free_port
from .command import Outcome, heyfleet

SECRET = "s3cret"
FORMS = (
    SECRET.encode(),
    *(base64.b64encode(f"{user}:{SECRET}".encode()).rstrip(b"=") for user in ("me", "proxy", "otlp")),
)

PLAN = """\
url: http://me:s3cret@localhost:{port}/
rate: 60
duration: 3s
proxy: http://proxy:s3cret@127.0.0.1:{port}
cert: client.pem
key: client.key
template: true
data: rows.csv
slo: "max[GET /a?api_key=s3cret]<60s, errors[log in?pin=s3cret]<100%"
abort-on: "errors[GET /a?api_key=s3cret]>99% for 60s"
headers:
  X-JWT-Assertion: s3cret
  X-Passphrase: s3cret
  X-Pin: s3cret
  X-Forward: Bearer s3cret
  Cookie: id=s3cret
  Referer: http://me:s3cret@localhost/?access_token=s3cret
requests:
  - path: /a?api_key=s3cret
  - name: log in?pin=s3cret
    method: POST
    path: /b;jsessionid=s3cret?page=1
    body: user=me&password=s3cret
  - path: /c?row={{csv:token}}&next=%2F%3Ftoken%3Ds3cret
    method: PUT
    content-type: application/json
    body: '{{"login": [{{"client_secret": "s3cret"}}]}}'
  - path: /d
    method: PUT
    body: <password>s3cret</password>
"""


class Server(http.server.ThreadingHTTPServer):
    """The target, its proxy, and a collector for OTLP."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []  # of the load
        self.metrics: list[bytes] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/v1/metrics":
            self.server.metrics.append(body)
        else:
            self.server.seen.append(f"{self.path}\n{self.headers}".encode() + body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_PUT = do_GET  # names of http.server

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def folder(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plan file, data and a client certificate."""
    made = tmp_path_factory.mktemp("secrets")
    Authority().sign("client").write(made, "client")
    (made / "rows.csv").write_text(f"user,token\nme,{SECRET}\n")
    (made / "plan.yaml").write_text(PLAN.format(port=server.server_port))
    return made


@pytest.fixture(scope="module")
def run(server: Server, folder: Path) -> tuple[Outcome, list[bytes]]:
    """The run of that plan, and what Prometheus would have scraped meanwhile."""
    port, scrapes = free_port(), list[bytes]()
    command = [
        *(
            sys.executable,
            "-m",
            "heyfleet",
            "run",
            "-f",
            str(folder / "plan.yaml"),
            "--out",
            str(folder / "run"),
        ),
        *(
            "--prometheus",
            f"127.0.0.1:{port}",
            "--otlp",
            f"http://otlp:{SECRET}@127.0.0.1:{server.server_port}",
        ),
        *("--local-agents", "2"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                scrapes.append(answer.read())
        except OSError:
            pass
        time.sleep(0.1)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return Outcome(process.returncode, out, err), scrapes


def assert_no_secret(data: bytes | str, where: object) -> None:
    text = data.encode() if isinstance(data, str) else data
    assert not [form for form in FORMS if form in text], where


def test_the_secrets_were_sent(server: Server, run: Any) -> None:
    seen = b"\n".join(server.seen)
    for place in (
        b"api_key=s3cret",
        b"jsessionid=s3cret",
        b"row=s3cret",
        b"token%3Ds3cret",
        b"password=s3cret",
        b'"client_secret": "s3cret"',
        b"<password>s3cret",
        b"X-JWT-Assertion: s3cret",
        b"X-Pin: s3cret",
        b"access_token=s3cret",
        b"Authorization: Basic " + FORMS[1],
        b"Proxy-Authorization: Basic " + FORMS[2],
    ):
        assert place in seen, place


def test_what_is_printed_and_sent_on(server: Server, run: tuple[Outcome, list[bytes]]) -> None:
    outcome, scrapes = run
    assert_no_secret(outcome.stdout, "stdout")
    assert_no_secret(outcome.stderr, "stderr")
    assert b"heyfleet_requests_sent_total" in b"".join(scrapes)
    assert_no_secret(b"".join(scrapes), "Prometheus")
    assert server.metrics
    assert_no_secret(b"".join(server.metrics), "OTLP")


def test_the_archive(folder: Path, run: Any) -> None:
    key = (folder / "client.key").read_bytes().splitlines()[1]
    paths = list((folder / "run").iterdir())
    assert len(paths) >= 8
    for path in paths:
        assert_no_secret(path.read_bytes(), path)
        assert key not in path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600, path
    assert (folder / "run").stat().st_mode & 0o777 == 0o700
    assert b"api_key=(hidden)" in (folder / "run" / "plan.json").read_bytes()


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_an_export(folder: Path, run: Any, name: str) -> None:
    chunks: Iterator[Any] = render(name, RunView(ArchivedRun(folder / "run")))
    for chunk in chunks:
        assert_no_secret(chunk, name)


def test_the_commands_on_an_archive(folder: Path, run: Any) -> None:
    archive = str(folder / "run")
    for words in (
        ["runs", "--runs", str(folder)],
        ["runs", "show", archive],
        ["runs", "show", "--json", archive],
        ["compare", archive, archive],
        ["compare", "--json", archive, archive],
        ["compare", "--html", str(folder / "compared.html"), archive, archive],
        ["export", "--as", "html", "-o", str(folder / "page.html"), archive],
        ["plan", "check", str(folder / "plan.yaml")],
        ["plan", "show", "--json", "-f", str(folder / "plan.yaml")],
    ):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
        assert_no_secret(result.output, words)
    for name in ("compared.html", "page.html"):
        assert_no_secret((folder / name).read_bytes(), name)
        assert (folder / name).stat().st_mode & 0o777 == 0o600


def test_a_plan_that_is_shown_as_a_file_says_that_it_has_secrets(folder: Path) -> None:
    result = CliRunner().invoke(main, ["plan", "show", "-f", str(folder / "plan.yaml")])
    assert (
        "\n# the values below are not masked, so that the file can be run: keep it private\n" in result.output
    )
    plain = CliRunner().invoke(main, ["plan", "show", "-n", "5", "http://localhost/?page=1"])
    assert "not masked" not in plain.output


def test_a_warning_about_a_collector(server: Server) -> None:
    endpoint = f"http://otlp:{SECRET}@127.0.0.1:{free_port()}/?token={SECRET}"
    outcome = heyfleet(
        "run", "--no-archive", "-n", "5", "--otlp", endpoint, f"http://127.0.0.1:{server.server_port}/"
    )
    assert "did not accept" in outcome.stderr
    assert_no_secret(outcome.stderr, "stderr")


@pytest.mark.parametrize(
    "words",
    [
        ["-H", f"Authorization {SECRET}"],
        ["-H", f"Authorization Bearer {SECRET}:1"],
        ["-H", f"X-Token={SECRET}"],
        ["-H", f"X-Pin: {SECRET}\n"],
        [f"-HAuthorization: {SECRET}"],
        ["-d", "x", f"-ame:{SECRET}"],
        ["-D", f"password={SECRET}"],
        ["--targets", f"token={SECRET}"],
        ["--data", f"token={SECRET}", "--template"],
        ["--host", f"me:{SECRET}@host"],
        ["-x", f"https://me:{SECRET}@proxy:3128"],
        ["-x", f"http://me:{SECRET[:2]}/{SECRET}@proxy:3128"],
        ["--otlp", f"ftp://me:{SECRET}@host/?token={SECRET}"],
        ["--prometheus", f"me:{SECRET}@host"],
        ["--slo", f"p99[GET /?token={SECRET}]<1s"],
        ["--slo", f"p99[GET /?token={SECRET}]<soon"],
        [f"me:{SECRET}@host/"],
        [f"http://me:{SECRET}@host:99999/?token={SECRET}"],
        [f"https:/me:{SECRET}@host"],
        [f"http://localhost/?token={SECRET} "],
        ["http://localhost/", f"http://localhost/?token={SECRET}"],
    ],
)
def test_an_error_does_not_repeat_it(words: list[str]) -> None:
    url = ["http://localhost/"] if words[0].startswith("-") else []
    result = CliRunner().invoke(main, ["run", "-n", "1", "--no-archive", *words, *url])
    assert result.exit_code == 2, result.output
    assert_no_secret(result.output, words)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plan.yaml", f"url: http://localhost/\nheaders:\n  - Authorization {SECRET}\n"),
        ("plan.yaml", f"url: http://localhost/\nrequests:\n  - path: a?token={SECRET}\n"),
        (
            "plan.yaml",
            f"url: http://localhost/\nrequests:\n  - path: /?token={SECRET}\n  - path: /?token={SECRET}\n",
        ),
        ("plan.yaml", f"url: http://localhost/\nheaders:\n  X-Pin: *{SECRET}\n"),
        ("plan.yaml", f"url: http://localhost/\nheaders:\n  X-Pin: !{SECRET}!a b\n"),
        ("plan.yaml", f"url: me:{SECRET}@localhost/\n"),
        ("targets", f"GET http://localhost/\n\nAuthorization: {SECRET}\n"),
        ("targets", f"GET /?token={SECRET}\n"),
        ("targets", f'{{"url": "http://localhost/", "name": {{"token": "{SECRET}"}}}}\n'),
        ("targets", f'{{"url": "http://localhost/", "header": {{"Authorization": "{SECRET}\\n"}}}}\n'),
    ],
)
def test_an_error_in_a_file_does_not_repeat_it(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    flag = "-f" if name == "plan.yaml" else "--targets"
    result = CliRunner().invoke(main, ["run", "--no-archive", flag, str(tmp_path / name)])
    assert result.exit_code == 2, result.output
    assert_no_secret(result.output, text)
