"""Requests as bytes, before a server sees them."""

import pytest

from heyfleet.agent.http.request import http2_fields, render
from heyfleet.proto.plan_pb2 import Header, Request


def request(**fields: object) -> Request:
    host = Header(name="Host", value="example.test")
    made = {"request_target": "/a?b=%20", "method": "GET", "headers": [host], **fields}
    return Request(**made)  # type: ignore[arg-type]


def test_a_plain_get_has_no_framing_fields() -> None:
    assert render(request()) == b"GET /a?b=%20 HTTP/1.1\r\nHost: example.test\r\n\r\n"


def test_header_fields_keep_order_and_repetition() -> None:
    headers = [
        Header(name=name, value=value) for name, value in [("Host", "h"), ("X", "1"), ("a", ""), ("X", "2")]
    ]
    assert render(request(headers=headers)).endswith(b"\r\nHost: h\r\nX: 1\r\na: \r\nX: 2\r\n\r\n")


@pytest.mark.parametrize("method", ["GET", "DELETE", "PURGE"])
def test_a_body_adds_content_length(method: str) -> None:
    assert render(request(method=method, body=b"\x00\xff")).endswith(b"\r\nContent-Length: 2\r\n\r\n\x00\xff")


def test_a_method_that_usually_has_a_body_sends_length_0_without_one() -> None:
    assert b"\r\nContent-Length: 0\r\n\r\n" in render(request(method="POST"))


def test_a_content_length_of_the_user_is_kept() -> None:
    headers = [Header(name="Host", value="h"), Header(name="content-length", value="7")]
    assert render(request(headers=headers, body=b"xy")).count(b"ength") == 1


def test_without_keepalive_requests_say_close() -> None:
    assert b"\r\nConnection: close\r\n\r\n" in render(request(), close=True)


@pytest.mark.parametrize("value", ["é", "日", "é✓"])
def test_text_is_sent_in_utf_8_whatever_stands_beside_it(value: str) -> None:
    made = request(headers=[Header(name="Host", value="é.test"), Header(name="X", value=value)])
    assert f"Host: é.test\r\nX: {value}\r\n".encode() in render(made)
    fields = http2_fields(made, "http")
    assert (b":authority", "é.test".encode()) in fields
    assert (b"x", value.encode()) in fields
