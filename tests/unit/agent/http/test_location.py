"""Where a Location leads: the examples of RFC 3986 section 5.4, and references that urllib reads differently."""

from __future__ import annotations

import pytest

from heyfleet.agent.http.location import resolve, resolve_location
from heyfleet.plan.url import parse

BASE = "http://a/b/c/d;p?q"


@pytest.mark.parametrize(
    ("reference", "uri"),
    [
        ("g:h", "g:h"),
        ("g", "http://a/b/c/g"),
        ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"),
        ("//g", "http://g"),
        ("?y", "http://a/b/c/d;p?y"),
        ("g?y", "http://a/b/c/g?y"),
        ("#s", "http://a/b/c/d;p?q#s"),
        ("g#s", "http://a/b/c/g#s"),
        ("g?y#s", "http://a/b/c/g?y#s"),
        (";x", "http://a/b/c/;x"),
        ("g;x", "http://a/b/c/g;x"),
        ("g;x?y#s", "http://a/b/c/g;x?y#s"),
        ("", "http://a/b/c/d;p?q"),
        (".", "http://a/b/c/"),
        ("./", "http://a/b/c/"),
        ("..", "http://a/b/"),
        ("../", "http://a/b/"),
        ("../g", "http://a/b/g"),
        ("../..", "http://a/"),
        ("../../", "http://a/"),
        ("../../g", "http://a/g"),
    ],
)
def test_the_normal_examples_of_rfc_3986(reference: str, uri: str) -> None:
    assert resolve(BASE, reference) == uri


@pytest.mark.parametrize(
    ("reference", "uri"),
    [
        ("../../../g", "http://a/g"),
        ("../../../../g", "http://a/g"),
        ("/./g", "http://a/g"),
        ("/../g", "http://a/g"),
        ("g.", "http://a/b/c/g."),
        (".g", "http://a/b/c/.g"),
        ("g..", "http://a/b/c/g.."),
        ("..g", "http://a/b/c/..g"),
        ("./../g", "http://a/b/g"),
        ("./g/.", "http://a/b/c/g/"),
        ("g/./h", "http://a/b/c/g/h"),
        ("g/../h", "http://a/b/c/h"),
        ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
        ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/./x", "http://a/b/c/g?y/./x"),
        ("g?y/../x", "http://a/b/c/g?y/../x"),
        ("g#s/./x", "http://a/b/c/g#s/./x"),
        ("g#s/../x", "http://a/b/c/g#s/../x"),
        ("http:g", "http:g"),
    ],
)
def test_the_abnormal_examples_of_rfc_3986(reference: str, uri: str) -> None:
    assert resolve(BASE, reference) == uri


@pytest.mark.parametrize(
    ("base", "reference", "uri"),
    [
        ("http://a/a//b", "x", "http://a/a//x"),
        ("http://a/b", "x//y", "http://a/x//y"),
        ("http://a/b", "x;?y", "http://a/x;?y"),
        ("http://a/b", "/x;", "http://a/x;"),
        ("http://a/b", "/x?", "http://a/x?"),
        ("http://a/b", "/..//x", "http://a//x"),
        ("http://a//b/c", "../x", "http://a//x"),
        ("http://a/b?", "", "http://a/b?"),
        ("http://a/b", "?", "http://a/b?"),
        ("http://a", "x", "http://a/x"),
        ("http://a?q", "x", "http://a/x"),
        ("http://a/b", "http://c", "http://c"),
        ("http://a/b", "http://c/d/../e/.", "http://c/e/"),
        ("http://a/b", "/x:y", "http://a/x:y"),
        ("https://a/b", "//c:8443/x?", "https://c:8443/x?"),
    ],
)
def test_empty_components_and_segments_stay(base: str, reference: str, uri: str) -> None:
    assert resolve(base, reference) == uri


@pytest.mark.parametrize(
    ("location", "url", "names_host"),
    [
        (b"x y", "http://a:1/x%20y", False),
        ("//bücher.test/ü".encode(), "http://xn--bcher-kva.test/%C3%BC", True),
        (b"/\xe9", "http://a:1/%E9", False),
        (b"?x#part", "http://a:1/b?x", False),
    ],
)
def test_a_location_becomes_a_url_in_ascii(location: bytes, url: str, names_host: bool) -> None:
    resolved, has_host = resolve_location(parse("http://a:1/b"), location)
    assert (str(resolved), has_host) == (url, names_host)


def test_a_redirect_of_the_whole_server_is_relative_to_its_root() -> None:
    base = parse("http://a/")
    whole = type(base)(base.scheme, base.host, base.port, "*", None)
    assert str(resolve_location(whole, b"x")[0]) == "http://a/x"
