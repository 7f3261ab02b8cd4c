"""What AWS says no with, in words that help; and what is only asked for again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
)
from botocore.exceptions import ConnectionError as NoConnectionError

from heyfleet.deploy.provider import DeployError

_TRIES = 8
_FIRST_PAUSE_S = 1.0
# No answer came: whether the call took effect is not known, or nobody was reached at all.
_UNANSWERED = (NoConnectionError, HTTPClientError)
_UNREACHED = (EndpointConnectionError, ConnectTimeoutError)
_UNREACHED_TRIES = 3  # a region that is not there, or no way out: each may take a minute to be found out
THROTTLED = {"RequestLimitExceeded", "Throttling", "ThrottlingException", "RequestThrottled", "SlowDown"}
_THROTTLED_STILL = (
    f"asked {_TRIES} times within {_FIRST_PAUSE_S * (2 ** (_TRIES - 1) - 1):.0f} s: others of this account and region ask "
    "for much, try later"
)
# The answer to these is not known, or they pass: the same call, with the same ClientToken, is made again.
AGAIN = THROTTLED | {
    "InternalError",
    "InternalFailure",
    "ServiceUnavailable",
    "Unavailable",
    "RequestTimeout",
    "ServerException",
}
# These say that this subnet's zone has no more; another may have.
ELSEWHERE = {
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "InsufficientFreeAddressesInSubnet",
    "Unsupported",
    "SpotMaxPriceTooLow",
}
_CURES = {
    "InsufficientInstanceCapacity": "name subnets of other zones, another type, or fewer agents",
    "InsufficientFreeAddressesInSubnet": "name further subnets",
    "Unsupported": "this zone does not have the type: name subnets of other zones",
    "VcpuLimitExceeded": "ask for a larger quota of vCPUs (Service Quotas), take a smaller type, or fewer agents",
    "InstanceLimitExceeded": "ask for a larger quota (Service Quotas), or fewer agents",
    "MaxSpotInstanceCountExceeded": "ask for a larger spot quota, or --with spot=false",
    "UnauthorizedOperation": "allow it: --dry-run prints the policy that is needed",
    "AccessDenied": "allow it: --dry-run prints the policy that is needed",
    "AuthFailure": "are these the credentials of this account and region?",
    "InvalidAMIID.NotFound": "--with ami=ID must be of this region",
    "InvalidAMIID.Malformed": "--with ami=ID is like ami-0123456789abcdef0",
    "InvalidSubnetID.NotFound": "--with subnets=ID must be of this region",
    "InvalidGroup.NotFound": "--with security_groups=ID must be of the subnet's VPC",
    "InvalidParameterValue": "check --with type, and that the image is made for it",
    "InvalidKeyPair.NotFound": "--with key=NAME must be of this region",
    "InvalidPlacementGroup.Unknown": "--with placement_group=NAME must be there",
    "ExpiredToken": "renew the credentials (aws sso login)",
    "RequestExpired": "renew the credentials, and check this host's clock",
    "ClusterNotFoundException": "--with cluster=NAME must be there, in this region",
    "AccessDeniedException": "allow it: --dry-run prints the policy that is needed",
    "NoSuchBucket": "--with bucket=NAME must be there",
    **dict.fromkeys(THROTTLED, _THROTTLED_STILL),
}


def code_of(error: Exception) -> str:
    """AWS's own word for an error, or nothing."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def in_words(error: Exception) -> str:
    """One line with the cure."""
    if isinstance(error, NoCredentialsError):
        return "no AWS credentials: aws configure, or AWS_PROFILE, or the instance's profile"
    if isinstance(error, NoRegionError):
        return "no region: --with region=eu-west-1, or AWS_DEFAULT_REGION"
    code = code_of(error)
    if isinstance(error, ClientError):
        message = " ".join(str(error.response.get("Error", {}).get("Message", "")).split())
        cure = _CURES.get(code)
        return f"{code}: {message.rstrip('.')}" + (f"; {cure}" if cure else "")
    return " ".join(str(error).split())


def patiently(call: Callable[[], Any], sleep: Callable[[float], None]) -> Any:
    """The answer to a call that may be repeated, as one with a token. Raises a plain no at once, others after some tries."""
    for attempt in range(_TRIES):
        try:
            return call()
        except (ClientError, BotoCoreError) as error:
            # What else boto raises, it has found out by itself, and would again: no credentials, a word that can't be.
            passing = code_of(error) in AGAIN or isinstance(error, _UNANSWERED)
            if not passing or attempt == (_UNREACHED_TRIES if isinstance(error, _UNREACHED) else _TRIES) - 1:
                raise
            sleep(_FIRST_PAUSE_S * 2**attempt)
    raise AssertionError("the last try returns or raises")


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """A context in which what boto raises becomes a DeployError."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise DeployError(in_words(error)) from None
