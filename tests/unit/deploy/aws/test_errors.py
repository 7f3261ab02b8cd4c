"""What of AWS is asked for again, how often, and what is said at once."""

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
    ("error", "tries"),
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
def test_so_often_it_is_asked(error: Exception, tries: int) -> None:
    asked, slept = 0, list[float]()

    def ask() -> None:
        nonlocal asked
        asked += 1
        raise error

    with pytest.raises(type(error)):
        retry(ask, slept.append)
    assert asked == tries
    assert slept == [2.0**number for number in range(tries - 1)]


def test_an_answer_at_last_is_the_answer() -> None:
    answers = [refused("Throttling"), EndpointConnectionError(endpoint_url="https://ec2"), "done"]

    def ask() -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert retry(ask, lambda seconds: None) == "done"
