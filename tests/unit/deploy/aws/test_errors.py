"""Which AWS errors are retried, and how often."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from heyfleet.deploy.aws.errors import deploy_error, error_code, retry, translate_errors
from heyfleet.errors import DeployError


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Call")


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (refused("RequestLimitExceeded"), 8),
        (refused("ThrottlingException"), 8),
        (refused("InternalError"), 8),
        (ReadTimeoutError(endpoint_url="https://ec2"), 8),
        (ConnectionClosedError(endpoint_url="https://ec2"), 8),
        (EndpointConnectionError(endpoint_url="https://ec2"), 3),
        (ConnectTimeoutError(endpoint_url="https://ec2"), 3),
        (NoCredentialsError(), 1),
        (ParamValidationError(report="no"), 1),
        (refused("UnauthorizedOperation"), 1),
    ],
)
def test_temporary_errors_are_retried_and_others_are_not(error: Exception, attempts: int) -> None:
    calls, slept = 0, list[float]()

    def ask() -> None:
        nonlocal calls
        calls += 1
        raise error

    with pytest.raises(type(error)):
        retry(ask, slept.append)
    assert calls == attempts
    assert slept == [2.0**number for number in range(attempts - 1)]


def test_the_first_success_is_the_result() -> None:
    answers = [refused("Throttling"), EndpointConnectionError(endpoint_url="https://ec2"), "done"]

    def ask() -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert retry(ask, lambda seconds: None) == "done"


PAGE = (
    """<!DOCTYPE html>
<html><head><title>403 Forbidden</title><style>body { color: red }</style>
<script>if (1 < 2) alert("no")</script></head>
<body><!-- a proxy --><h1>Blocked</h1><p class="x">by   the gateway</p>"""
    + "<p>more</p>" * 1000
)


def test_a_web_page_in_place_of_an_answer_is_one_short_line() -> None:
    error = deploy_error(ClientError({"Error": {"Code": "403", "Message": PAGE}}, "GetProducts"))
    assert str(error).startswith("403: 403 Forbidden Blocked by the gateway more more")
    assert len(str(error)) < 400


def test_an_answer_that_is_not_aws_s_is_an_error_that_people_can_read() -> None:
    with (
        pytest.raises(DeployError, match=r"what responded is not AWS: .*; check HTTPS_PROXY"),
        translate_errors(),
    ):
        raise ResponseParserError(f"Unable to parse response, invalid XML received:\n{PAGE}")
    assert error_code(ResponseParserError("")) == ""
