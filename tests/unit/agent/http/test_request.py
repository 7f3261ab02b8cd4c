"""Requests as bytes, before a server sees them."""

import pytest

from heyfleet.agent.http.request import render
from heyfleet.proto.plan_pb2 import Header, Request


def request(**fields: object) -> Request:
    host = Header(name="Host", value="example.test")
    made = {"request_target": "/a?b=%20", "method": "GET", "headers": [host], **fields}
    return Request(**made)  # type: ignore[arg-type]


def test_a_plain_get_has_no_framing_fields() -> None:
    assert render(request()) == b"GET /a?b=%20 HTTP/1.1\r\nHost: example.test\r\n\r\n"


def test_header_fields_keep_their_order_and_their_repetition() -> None:
    headers = [
        Header(name=name, value=value) for name, value in [("Host", "h"), ("X", "1"), ("a", ""), ("X", "2")]
    ]
    assert render(request(headers=headers)).endswith(b"\r\nHost: h\r\nX: 1\r\na: \r\nX: 2\r\n\r\n")


@pytest.mark.parametrize("method", ["GET", "DELETE", "PURGE"])
def test_a_body_brings_its_length(method: str) -> None:
    assert render(request(method=method, body=b"\x00\xff")).endswith(b"\r\nContent-Length: 2\r\n\r\n\x00\xff")


def test_a_method_that_means_a_body_says_that_there_is_none() -> None:
    assert b"\r\nContent-Length: 0\r\n\r\n" in render(request(method="POST"))


def test_a_length_that_was_given_is_left_alone() -> None:
    headers = [Header(name="Host", value="h"), Header(name="content-length", value="7")]
    assert render(request(headers=headers, body=b"xy")).count(b"ength") == 1


def test_without_keepalive_the_server_is_told() -> None:
    assert b"\r\nConnection: close\r\n\r\n" in render(request(), close=True)


def test_octets_beyond_ascii() -> None:
    latin = request(headers=[Header(name="X", value="é")])
    beyond = request(headers=[Header(name="X", value="日")])
    assert b"X: \xe9\r\n" in render(latin)
    assert "X: 日\r\n".encode() in render(beyond)
