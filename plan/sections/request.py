"""Options that describe the requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from heyfleet import __version__
from heyfleet.plan.option_types import list_option, option, switch
from heyfleet.plan.values import (
    parse_credentials,
    parse_header,
    parse_header_value,
    parse_host_header,
    parse_method,
)

DEFAULT_USER_AGENT = f"heyfleet/{__version__}"


@dataclass(frozen=True, kw_only=True)
class RequestOptions:
    """The one request that the flags describe, or what all requests of a file have in common."""

    title: ClassVar[str] = "Request"

    method: str = option(
        "-m",
        "--method",
        parse=parse_method,
        default="GET",
        metavar="METHOD",
        help="Request method.",
    )
    headers: tuple[tuple[str, str], ...] = list_option(
        "-H",
        "--header",
        parse=parse_header,
        metavar="'NAME: VALUE'",
        plan_key="headers",
        help="Header to send; may be repeated. It replaces a header that heyfleet would send itself.",
    )
    body: str | None = option(
        "-d", "--body", parse=str, default=None, metavar="TEXT", help="Request body, sent as UTF-8."
    )
    body_file: str | None = option(
        "-D",
        "--body-file",
        parse=str,
        default=None,
        metavar="FILE",
        is_input_file=True,
        help="File to send as the request body; overrides -d.",
    )
    content_type: str | None = option(
        "-T",
        "--content-type",
        parse=parse_header_value,
        default=None,
        default_text="text/html if there is a body",
        metavar="TYPE",
        help="Content-Type header.",
    )
    accept: str | None = option(
        "-A", "--accept", parse=parse_header_value, default=None, metavar="TYPES", help="Accept header."
    )
    user_agent: str = option(
        "-U",
        "--user-agent",
        parse=parse_header_value,
        default="",
        default_text=DEFAULT_USER_AGENT,
        metavar="TEXT",
        help="User-Agent header.",
    )
    credentials: str | None = option(
        "-a",
        "--user",
        parse=parse_credentials,
        default=None,
        metavar="USER:PASSWORD",
        help="Credentials for basic authentication.",
    )
    host: str | None = option(
        "--host",
        parse=parse_host_header,
        default=None,
        default_text="the URL's host",
        metavar="HOST",
        help="Host header.",
    )
    disable_compression: bool = switch("--disable-compression", help="Don't send Accept-Encoding: gzip.")
    decode: bool = switch(
        "--decode",
        help="Ask for compressed responses (gzip, deflate, br, zstd), decode them, and count broken ones as errors.",
        plan_field="decode",
    )
    targets: str = option(
        "--targets",
        parse=str,
        default="",
        metavar="FILE",
        is_input_file=True,
        help="Read requests from a targets file in one of vegeta's formats, instead of a URL.",
    )
    template: bool = switch(
        "--template",
        help="Replace placeholders in URL, headers and body: {seq}, {rand:1-100}, {uuid}, {csv:COLUMN}.",
    )
    data_file: str | None = option(
        "--data",
        parse=str,
        default=None,
        metavar="FILE",
        is_input_file=True,
        help="CSV file with column names in its first row, for {csv:COLUMN}. Request i takes row i, over and over.",
    )
    data_once: bool = switch(
        "--data-once",
        help="Use each row of --data once across the whole fleet, and end the run after the last row.",
    )
