"""URLs: their parts, and the errors of malformed ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heyfleet.plan.url import basic, parse, parse_request_target


@pytest.mark.parametrize(
    ("text", "host", "port", "request_target", "authority"),
    [
        ("http://localhost", "localhost", 80, "/", "localhost"),
        ("http://localhost:80/", "localhost", 80, "/", "localhost"),
        ("HTTP://LocalHost:8080/A", "localhost", 8080, "/A", "localhost:8080"),
        ("http://a?q=1", "a", 80, "/?q=1", "a"),
        ("http://a/b?c=d?e#part", "a", 80, "/b?c=d?e", "a"),
        ("http://a/%7e%2F%zz/../b", "a", 80, "/%7e%2F%zz/../b", "a"),
        ("http://a/x?u=http://b/", "a", 80, "/x?u=http://b/", "a"),
        ("http://a:/", "a", 80, "/", "a"),
        ("http://127.0.0.1:1/", "127.0.0.1", 1, "/", "127.0.0.1:1"),
        ("http://[::1]:8080/", "::1", 8080, "/", "[::1]:8080"),
        ("http://[fe80::1%25lo]/", "fe80::1%lo", 80, "/", "[fe80::1]"),
        ("http://my_service.local./", "my_service.local.", 80, "/", "my_service.local."),
        (
            "http://bücher.example/ä?ö=ü",
            "xn--bcher-kva.example",
            80,
            "/%C3%A4?%C3%B6=%C3%BC",
            "xn--bcher-kva.example",
        ),
        ("http://a/\udcff", "a", 80, "/%FF", "a"),
    ],
)
def test_parts(text: str, host: str, port: int, request_target: str, authority: str) -> None:
    url = parse(text)
    assert (url.host, url.port, url.request_target, url.authority) == (host, port, request_target, authority)


def test_user_and_password() -> None:
    assert parse("http://me:p%40ss@a/").credentials == "me:p@ss"
    assert parse("http://me@a/").credentials == "me:"
    assert parse("http://%E9:%C3%A9@a/").credentials == "\udce9:é"
    assert parse("http://a/").credentials is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the URL is empty"),
        ("localhost:8080/x", "no scheme; try http://localhost:8080/x"),
        ("example.com", "no scheme; try http://example.com"),
        ("//example.com/", "no scheme; try http://example.com/"),
        ("http:/example.com", "no scheme; try http://example.com"),
        ("http:", "no scheme; try http://localhost:8080/"),
        ("ftp://a/", "the scheme 'ftp' is not supported; use http:// or https://"),
        ("ftp://a/", "'ftp' is not supported; use http://"),
        ("http://", "has no host"),
        ("http:///path", "has no host"),
        ("http://:80/", "has no host"),
        ("http://a:b/", "the port must be a number from 1 to 65535"),
        ("http://a:0/", "the port must be a number from 1 to 65535"),
        ("http://a:65536/", "the port must be a number from 1 to 65535"),
        ("http://a:-1/", "the port must be a number from 1 to 65535"),
        ("http://a:٣/", "the port must be a number"),
        ("http://a/b c", "a space or control character; write it as %20"),
        ("http://a/b\n", "control character; write it as %0A"),
        ("http://a b/", "space or control character"),
        ("http://a\x00/", "write it as %00"),
        ("http://[::g]/", "is not an IPv6 address"),
        ("http://[]/", "is not an IPv6 address"),
        ("http://::1/", "with \\[...\\] around an IPv6 address"),
        ("http://[::1/", "with \\[...\\] around an IPv6 address"),
        ("http://[::1]x/", "with \\[...\\] around an IPv6 address"),
        ("http://a..b/", "is not a host name"),
        ("http://-a/", "is not a host name"),
        ("http://a<b>/", "is not a host name"),
        ("http://%41/", "is not a host name"),
        ("http://a\\b/", "is not a host name"),
        ("http://" + "a" * 64 + "/", "is not a host name"),
        ("http://" + "a." * 127 + "aa/", "is not a host name"),
        ("http://ü..b/", "is not a host name"),
        ("http://straße.test/", "old and new rules encode differently"),
    ],
)
def test_bad_urls(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_errors_do_not_show_a_password() -> None:
    with pytest.raises(ValueError, match="the port must be") as caught:
        parse("http://me:secret@a:b/")
    assert "secret" not in str(caught.value)


def test_credentials_are_the_bytes_that_were_written() -> None:
    assert basic(parse("http://%E9:%C3%A9@a/").credentials or "") == "Basic 6TrDqQ=="


def test_request_targets() -> None:
    assert parse_request_target("*") == "*"
    assert parse_request_target("/ä?b#part") == "/%C3%A4?b"
    for text, words in [
        ("/a b", "write it as %20"),
        ("/a\r\nX: y", "write it as %0D"),
        ("a", "begin with /"),
    ]:
        with pytest.raises(ValueError, match=words):
            parse_request_target(text)


def test_a_url_is_shown_without_credentials() -> None:
    assert str(parse("http://me:secret@a:80/b?c")) == "http://a/b?c"
    assert str(replace(parse("http://a:81/b"), request_target="*")) == "http://a:81"


@pytest.mark.parametrize("sign", ["/", "?", "#"])
def test_a_password_with_a_sign_of_a_url_is_no_port(sign: str) -> None:
    with pytest.raises(ValueError, match="the port must be") as caught:
        parse(f"http://me:s3cret{sign}x@a/")
    assert "s3cret" not in str(caught.value)
