"""The command against a server that violates HTTP on request: each violation is a counted outcome, and no request is lost."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from .command import heyfleet, measure
from .test_run import io  # noqa: F401  (a fixture)

# What is asked of the server, and what the report must say of every request.
ANSWERED = [
    "/ok",
    "/chunked",
    "/chunked?trailers=3&extensions=1",
    "/te-and-cl",
    "/ok?to-close=1",
    "/ok?interim=100,103",
    "/ok?bare-lf=1",
    "/ok?version=1.0",
    "/ok?pieces=1&gap=0",
    "/ok?pieces=1,3,7&chunks=2,1&trailers=1&gap=0",
    "/ok?connection=close",
    "/ok?headers=200",
    "/ok?size=300KiB&chunks=1000,7",
]
BROKEN = {
    "/close": "closed early",
    "/ok?close-after=60": "closed early",
    "/ok?length=50": "closed early",
    "/chunked?close-after=90": "closed early",
    "/reset": "reset",
    "/ok?reset-after=40": "reset",
    "/ok?header-bytes=100KiB": "header too large",
    "/ok?bad-chunk=zz": "bad response: ",
    "/ok?length=5x": "bad response: ",
    "/ok?status-line=SIP/2.0%20200%20OK": "bad response: ",
    "/ok?header=no-colon": "bad response: ",
}
SLOW = {"/never": "request timeout", "/half": "request timeout", "/ok?hang-after=66": "request timeout"}


@pytest.mark.parametrize("path", ANSWERED)
def test_odd_but_legal_answers(faulty: Any, io: str, path: str) -> None:  # noqa: F811
    report = heyfleet("run", "--json", "--io", io, "-n", "24", "-c", "4", faulty.url(path)).report
    assert report["statuses"] == {"200": 24}
    body_bytes = 300 * 1024 if "300KiB" in path else 5
    assert report["body_bytes"] == 24 * body_bytes


@pytest.mark.parametrize("path", BROKEN)
def test_broken_answers(faulty: Any, io: str, path: str) -> None:  # noqa: F811
    outcome = heyfleet("run", "--json", "--io", io, "-n", "24", "-c", "4", faulty.url(path))
    assert outcome.exit_code == 3
    kinds = outcome.report["errors"]
    assert sum(kinds.values()) == 24
    assert all(kind.startswith(BROKEN[path]) for kind in kinds), kinds


@pytest.mark.parametrize("path", SLOW)
def test_answers_that_never_come(faulty: Any, io: str, path: str) -> None:  # noqa: F811
    report = heyfleet("run", "--json", "--io", io, "-t", "0.2", "-n", "8", "-c", "4", faulty.url(path)).report
    assert report["errors"] == {SLOW[path]: 8}


@pytest.mark.parametrize(
    "path",
    [
        "/ok?keepalive=3",
        "/ok?idle-close=0",
        "/ok?unsolicited=0",
        "/ok?length=2",
        "/ok?garbage=300",
        "/status/204",
    ],
)
def test_whatever_happens_the_ledger_adds_up(faulty: Any, io: str, path: str) -> None:  # noqa: F811
    outcome = heyfleet("run", "--json", "--io", io, "-n", "60", "-c", "4", faulty.url(path))
    assert outcome.report["ledger"]["sent"] == 60


def test_the_server_saw_what_we_report(faulty: Any, io: str) -> None:  # noqa: F811
    label = f"seen-{io}"
    path = f"/ok?label={label}&share=1&tail=5%25/5ms"
    report = heyfleet("run", "--json", "--io", io, "-n", "777", "-c", "7", faulty.url(path)).report
    assert report["statuses"] == {"200": 777}
    assert faulty.stats()["requests"][label] == 777


def test_a_server_that_refuses_some(faulty: Any, io: str) -> None:  # noqa: F811
    path = "/status/503?share=0.25"
    report = heyfleet("run", "--json", "--io", io, "-n", "400", "-c", "8", faulty.url(path)).report
    assert set(report["statuses"]) == {"200", "503"}
    assert sum(report["statuses"].values()) == 400


def test_redirects_are_followed_and_said(faulty: Any) -> None:
    report = measure("-n", "4", "-c", "2", faulty.url("/status/302?header=Location:%20/ok"))
    assert report["statuses"] == {"200": 4}
    assert report["redirects"] == 4


def test_a_redirect_that_leads_nowhere_is_the_answer_and_said(faulty: Any) -> None:
    report = measure("-n", "4", "-c", "2", faulty.url("/status/302"))
    assert report["statuses"] == {"302": 4}
    assert any("redirect" in note for note in report["notes"])


def test_what_is_sent() -> None:
    """Receive the bytes of one request."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        got: list[bytes] = []

        def answer_one() -> None:
            connection, _ = server.accept()
            with connection:
                while not b"".join(got).endswith(b"tell me"):
                    got.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        thread = threading.Thread(target=answer_one)
        thread.start()
        outcome = heyfleet(
            *(
                "run",
                "--json",
                "-n",
                "1",
                "-c",
                "1",
                "-m",
                "PUT",
                "-d",
                "tell me",
                "-H",
                "X-A: 1",
                "-H",
                "X-A: 2",
            ),
            *(
                "-a",
                "me:secret",
                "-U",
                "probe/1",
                "-A",
                "*/*",
                "-host",
                "other.test",
                f"http://127.0.0.1:{port}/a%20b?c=d",
            ),
        )
        thread.join(timeout=20)
    assert outcome.report["statuses"] == {"204": 1}
    head, _, body = b"".join(got).partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    assert first == "PUT /a%20b?c=d HTTP/1.1"
    assert fields[0] == "Host: other.test"
    assert sorted(fields[1:]) == [
        "Accept-Encoding: gzip",
        "Accept: */*",
        "Authorization: Basic bWU6c2VjcmV0",
        "Content-Length: 7",
        "Content-Type: text/html",
        "User-Agent: probe/1",
        "X-A: 1",
        "X-A: 2",
    ]
    assert fields.index("X-A: 1") < fields.index("X-A: 2")
    assert body == b"tell me"
