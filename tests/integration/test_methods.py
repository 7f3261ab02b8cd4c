"""Methods, URLs and Connection headers are sent as typed, and connections end where a header says so."""

from __future__ import annotations

import pytest

from ..conftest import Nginx
from ..recorder import Recorder
from .command import measure


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "DELETE", "PROPFIND", "X-Y!~"])
def test_any_method(method: str) -> None:
    with Recorder() as server:
        # The server's answer to HEAD has content, which is not read.
        measure("-n", "2", "-c", "2", "-disable-keepalive", "-m", method, server.url("/a"))
    assert [head.split(b"\r\n")[0] for head, _ in server.requests] == [f"{method} /a HTTP/1.1".encode()] * 2


def test_responses_to_head_have_no_content(nginx: Nginx) -> None:
    report = measure("-n", "40", "-c", "4", "-m", "HEAD", nginx.url("/files/1MiB"))
    assert report["statuses"] == {"200": 40}
    assert report["body_bytes"] == 0
    assert report["generator"]["connections_opened"] == 4


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("/%7Eme/%2f%2F/a%20b", "/%7Eme/%2f%2F/a%20b"),
        ("/a//b/../c/./d", "/a//b/../c/./d"),
        ("/a+b?q=%C3%a9&x=[1]|{y}#part", "/a+b?q=%C3%a9&x=[1]|{y}"),
        ("/é?ü", "/%C3%A9?%C3%BC"),
        ("?only=query", "/?only=query"),
    ],
)
def test_urls_are_sent_as_typed(typed: str, sent: str) -> None:
    with Recorder() as server:
        measure("-n", "1", "-c", "1", server.url(typed))
    assert server.targets == [sent]


@pytest.mark.parametrize("value", ["close", "Keep-Alive, Close"])
@pytest.mark.parametrize("flags", [(), ("--template",)])
def test_connection_close_ends_the_connection(value: str, flags: tuple[str, ...]) -> None:
    """The server would keep it."""
    with Recorder() as server:
        report = measure(*flags, "-n", "20", "-c", "4", "-H", f"Connection: {value}", server.url("/"))
    assert report["statuses"] == {"200": 20}
    assert report["generator"]["connections_opened"] == 20
    assert all(head.count(f"\r\nConnection: {value}\r\n".encode()) == 1 for head, _ in server.requests)


def test_other_connection_options_keep_it() -> None:
    with Recorder() as server:
        report = measure("-n", "20", "-c", "4", "-H", "Connection: closed, TE", server.url("/"))
    assert report["generator"]["connections_opened"] == 4
