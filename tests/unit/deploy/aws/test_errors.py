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

from heyfleet.deploy.aws.errors import retry


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
