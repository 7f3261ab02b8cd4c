"""What counts as a secret, and that it is not in any text about a plan."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heyfleet.errors import InputError
from heyfleet.mask import HIDDEN, is_secret, mask_header, mask_line, mask_text, mask_url
from heyfleet.plan.build import make_plan
from heyfleet.plan.options import RunOptions
from heyfleet.plan.redact import echo, mask_body, target_url, without_secrets
from heyfleet.plan.request_spec import RequestSpec
from heyfleet.plan.thresholds import parse_thresholds
from heyfleet.plan.values import parse_header, parse_header_value
from heyfleet.proto.plan_pb2 import Plan

SECRET_NAMES = (
    "Authorization Proxy-Authorization X-Api-Key apiKey APIKey api%5Fkey Cookie Set-Cookie X-JWT-Assertion X-Passphrase X-Pin "
    "userPin user[password] passwd PWD client_secret access_token XSRF-TOKEN PHPSESSID connect.sid session-id sig otp "
    "X-Amz-Credential X-Amz-Signature ssh_pass private_key"
)
OPEN_NAMES = (
    "Accept Accept-Encoding Host Content-Type author co-authors authority keyword shipping design assess passenger grant_type "
    "page user spin q"
)


@pytest.mark.parametrize("name", SECRET_NAMES.split())
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", OPEN_NAMES.split())
def test_other_names_are_no_secrets(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/a?token=s3cret&page=2&api_key=s3cret#end", "/a?token=(hidden)&page=2&api_key=(hidden)#end"),
        ("GET /a?page=1;token=s3cret;x", "GET /a?page=1;token=(hidden)"),
        ("/a;jsessionid=s3cret", "/a;jsessionid=(hidden)"),
        ("/a?q=x=1&to%6ben=s3cret", "/a?q=x=1&to%6ben=(hidden)"),
        ("http://me:s3cret@host/a", "http://...@host/a"),
        ("/go?next=https%3A%2F%2Fme:s3cret%40h%2F", "/go?next=https%3A//...%40h/"),
        ("/go?next=%2Fa%3Ftoken%3Ds3cret%26b%3D1&c=2", "/go?next=%2Fa%3Ftoken%3D(hidden)%26b%3D1&c=2"),
        ('Token realm="a", token="s3 cret"', 'Token realm="a", token=(hidden)'),
        ("/a?q=eyJhbGciOi.eyJzdWIiOi.s3cret", "/a?q=(hidden)"),
        ("/users/@me?page=2", "/users/@me?page=2"),
        ("/a?token=", "/a?token="),
        (
            "/go?next=http%253A%252F%252Fh%252F%253Ftoken%253Ds3cret&c=2",
            "/go?next=http%253A%252F%252Fh%252F%253Ftoken%253D(hidden)&c=2",
        ),
        ("/go?next=%252Fa%253Fpage%253D2", "/go?next=%252Fa%253Fpage%253D2"),
        ("/a?q=Bearer+s3cret", "/a?q=(hidden)"),
        ("/a?q=Basic%20s3cret", "/a?q=(hidden)"),
        ("/a?q=%7B%22password%22%3A%22s3cret%22%7D", "/a?q=(hidden)"),
        ("/a?q=%7B%22page%22%3A2%7D", "/a?q=%7B%22page%22%3A2%7D"),
    ],
)
def test_a_text_is_masked(text: str, shown: str) -> None:
    from urllib.parse import unquote

    assert unquote(mask_text(text)) == unquote(shown)
    assert "s3cret" not in mask_text(text)
    assert mask_text(mask_text(text)) == mask_text(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://me:s3/cret@proxy:3128", "http://...@proxy:3128"),
        ("http://me:s3@cret@proxy", "http://...@proxy"),
        ("me:s3cret@host/", "...@host/"),
        ("https:/me:s3cret@host/", "...@host/"),
        ("http://[::1]:8080/users/@me", "http://[::1]:8080/users/@me"),
        ("http://me:s3#cret@host", "http://...@host"),
        ("http://host:80/?token=s3cret", "http://host:80/?token=(hidden)"),
    ],
)
def test_a_url_is_masked_however_wrong_it_is(url: str, shown: str) -> None:
    assert mask_url(url) == shown


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("X-Pin", "1234", HIDDEN),
        ("X-Forward", "Bearer s3cret", HIDDEN),
        ("Referer", "http://h/?token=s3cret", "http://h/?token=(hidden)"),
        ("Accept", "text/html;q=0.9", "text/html;q=0.9"),
        ("Cookie", "", ""),
    ],
)
def test_a_header_is_masked(name: str, value: str, shown: str) -> None:
    assert mask_header(name, value) == shown


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"user=me&password=s3cret", b"user=me&password=(hidden)"),
        (b'{"user": "me", "login": [{"pin": 1234}]}', b'{"user": "me", "login": [{"pin": "(hidden)"}]}'),
        (
            b'{"token": {"value": "s3cret"}, "to": "http://a:s3cret@h/"}',
            b'{"token": "(hidden)", "to": "http://...@h/"}',
        ),
        (b"<password>s3cret</password>", b"(27 bytes)"),
        (b'{"n": {seq}, "password": "s3cret"}', b"(34 bytes)"),
        (b"password=my s3cret", b"(18 bytes)"),
        (b"\x00\xff s3cret", b"(9 bytes)"),
        (b"x" * 4097, b"(4097 bytes)"),
        (b'{"a": 1,  "b": 2}', b'{"a": 1,  "b": 2}'),
        (b'{"note": {"token": "s3cret"}, "note": "a"}', b"(42 bytes)"),
        (b"[" * 4000 + b"]" * 4, b"[" * 4000 + b"]" * 4),
        (b"plain text", b"plain text"),
        (rb'{"a": "\ud800", "pin": 1}', rb'{"a": "\ud800", "pin": "(hidden)"}'),
        (b"", b""),
    ],
)
def test_a_body_is_masked(body: bytes, shown: bytes) -> None:
    assert mask_body(body) == shown


@given(
    st.text(st.characters(codec="ascii", exclude_characters='&#"'), min_size=8).filter(
        lambda text: not text.isspace()
    )
)
def test_no_value_of_a_secret_is_kept(value: str) -> None:
    value = "".join(value.split())
    marked = f"s3cret{value}"
    assert "s3cret" not in mask_text(f"/a?x=1&token={marked}&y=2")
    assert "s3cret" not in mask_body(f"x=1&token={marked}&y=2".encode()).decode()
    assert "s3cret" not in mask_body(json.dumps({"x": [{"token": marked}]}).encode()).decode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization s3cret", "Authorization ..."),
        ("Authorization Bearer s3cret:x", "Authorization ..."),
        ("X-Token=s3cret", "X-Token ..."),
        ("Bearer s3cret", "Bearer ..."),
        ("0123456789abcdefs3cret", "..."),
        ("Accept text/html", "Accept text/html"),
    ],
)
def test_an_error_about_a_header_does_not_repeat_its_secret(text: str, shown: str) -> None:
    assert mask_line(text) == shown
    with pytest.raises(ValueError, match=r"header name|no colon") as caught:
        parse_header(text)
    assert "s3cret" not in str(caught.value)


def test_an_error_about_a_value_does_not_repeat_its_secret() -> None:
    with pytest.raises(ValueError, match="line break") as caught:
        parse_header("X-Pin: s3cret\nb")
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ValueError, match="UTF-8") as caught:
        parse_header_value("s3cret\udcff", "X-Pin")
    assert "s3cret" not in str(caught.value)


def plan(*specs: RequestSpec) -> Plan:
    return make_plan(RunOptions(url="http://me:s3cret@localhost/?token=s3cret", request_specs=specs))


def test_names_of_requests_have_no_secrets_and_stay_unique() -> None:
    specs = [RequestSpec(path=f"/a?token=s3cret{number}", user_agent="x") for number in range(3)]
    made = plan(*specs)
    assert [request.name for request in made.requests] == [
        "GET /a?token=(hidden)",
        "GET /a?token=(hidden) (2)",
        "GET /a?token=(hidden) (3)",
    ]
    assert [request.request_target for request in made.requests] == [spec.path for spec in specs]


def test_a_threshold_of_a_request_names_it_without_its_secret() -> None:
    assert parse_thresholds("p99[GET /a?token=s3cret]<5ms, errors<1%") == (
        "p99[GET /a?token=(hidden)]<5ms",
        "errors<1%",
    )


def test_a_plan_is_kept_and_shown_without_secrets() -> None:
    spec = RequestSpec(
        path="/a?token=s3cret",
        headers=(("X-Passphrase", "s3cret"), ("Accept", "text/html"), ("Referer", "http://a:s3cret@b/")),
        body=b"password=s3cret",
        user_agent="x",
    )
    made = plan(spec)
    stored = without_secrets(made)
    assert b"s3cret" not in stored.SerializeToString()
    assert "s3cret" not in json.dumps([echo(made), target_url(made)])
    assert echo(stored) == echo(made)
    assert without_secrets(stored) == stored


def test_a_plan_copied_from_a_report_asks_for_its_secrets_again() -> None:
    for spec in (
        RequestSpec(headers=(("X-Pin", HIDDEN),), user_agent="x"),
        RequestSpec(path=f"/?token={HIDDEN}", user_agent="x"),
        RequestSpec(body=f'{{"token": "{HIDDEN}"}}'.encode(), user_agent="x"),
    ):
        with pytest.raises(InputError, match="stands for a secret that was not kept; give its value again"):
            plan(spec)


def test_a_number_does_not_make_a_name_that_is_taken() -> None:
    names = ["a", "a (2)", "a", "a", "a (2)"]
    made = plan(*(RequestSpec(name=name, user_agent="x") for name in names))
    assert len({request.name for request in made.requests}) == len(names)


@pytest.mark.parametrize(
    "piece", [";a=", "eyJ-", "[", "a=", '?a="', ";a=%41", "&%25a=%25", "//", "@", "eyJabcd."]
)
@pytest.mark.parametrize("end", ["", "%41", "%" + "25" * 3000 + "41"])
def test_a_long_text_of_a_stranger_takes_no_longer_than_its_length_says(piece: str, end: str) -> None:
    """With work that grows faster than the text, most of these would never end."""
    text = f"http://{piece * 20_000}{end}&token=abc"
    for mask in (mask_text, mask_url, mask_line):
        assert "abc" not in mask(text)


def test_what_is_nested_too_deeply_to_be_read_is_hidden() -> None:
    value = "token%3Dabc"
    for _ in range(9):
        assert "abc" not in mask_text(f"/?next={value}")
        value = f"x%3D{value.replace('%', '%25')}"


@pytest.mark.parametrize(
    "body",
    [
        json.dumps([{"name": "password", "value": "s3cret"}, {"name": "page", "value": "2"}]),
        json.dumps({"q": json.dumps({"password": "s3cret"})}),
        json.dumps({"q": 'login(password: "s3cret")'}),
        json.dumps({"q": "\ud800: password=s3cret"}),
        '{"a": 1, "a": 2, "pass\\u0077ord": "s3cret"}',
    ],
)
def test_secrets_within_texts_of_a_body_are_hidden(body: str) -> None:
    assert b"s3cret" not in mask_body(body.encode())


def test_texts_without_secrets_stay_in_a_body() -> None:
    body = json.dumps({"grant_type": "password", "name": "Ann: <b>", "q": json.dumps({"page": 2})}).encode()
    assert mask_body(body) == body
