"""AWS's errors: which calls to repeat, and what to tell people."""

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
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.parsers import ResponseParserError

from heyfleet.errors import DeployError
from heyfleet.text import brief

AwsError = BotoCoreError | ClientError | ResponseParserError
AWS_ERRORS = (BotoCoreError, ClientError, ResponseParserError)
"""What boto raises. The last is for a response that is none of AWS's: a proxy's page, for example."""
_ATTEMPTS = 8
_FIRST_PAUSE_S = 1.0
# No response came: whether the call took effect is unknown, or no server was reached at all.
_UNANSWERED = (BotoConnectionError, HTTPClientError)
_UNREACHED = (EndpointConnectionError, ConnectTimeoutError)
_UNREACHED_ATTEMPTS = (
    3  # a region that does not exist or a network without a route: each may take a minute to fail
)
THROTTLING_CODES = {
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "RequestThrottled",
    "SlowDown",
}
_THROTTLING_CURE = (
    f"still throttled after {_ATTEMPTS} attempts in {_FIRST_PAUSE_S * (2 ** (_ATTEMPTS - 1) - 1):.0f} s because others"
    " in this account and region make many calls; try later"
)
# Temporary, or the outcome is unknown: repeat the same call with the same client token.
TEMPORARY_CODES = THROTTLING_CODES | {
    "InternalError",
    "InternalFailure",
    "ServiceUnavailable",
    "Unavailable",
    "RequestTimeout",
    "ServerException",
}
# The subnet's availability zone has no more capacity; another zone may have some.
NO_CAPACITY_CODES = {
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "InsufficientFreeAddressesInSubnet",
    "Unsupported",
    "SpotMaxPriceTooLow",
}
_PERMISSION_CURE = "grant the permissions that --dry-run prints"
_CURES = {
    "InsufficientInstanceCapacity": "use subnets in other zones, another instance type, or fewer agents",
    "InsufficientFreeAddressesInSubnet": "add subnets",
    "Unsupported": "this zone does not offer the instance type: use subnets in other zones",
    "VcpuLimitExceeded": "request a larger vCPU quota (Service Quotas), or use a smaller type or fewer agents",
    "InstanceLimitExceeded": "request a larger quota (Service Quotas), or use fewer agents",
    "MaxSpotInstanceCountExceeded": "request a larger spot quota, or use --with spot=false",
    "UnauthorizedOperation": _PERMISSION_CURE,
    "AccessDenied": _PERMISSION_CURE,
    "AccessDeniedException": _PERMISSION_CURE,
    "AuthFailure": "check that the credentials belong to this account and region",
    "InvalidAMIID.NotFound": "--with ami=ID must exist in this region",
    "InvalidAMIID.Malformed": "an AMI id looks like ami-0123456789abcdef0",
    "InvalidSubnetID.NotFound": "--with subnets=ID must exist in this region",
    "InvalidGroup.NotFound": "--with security_groups=ID must belong to the subnet's VPC",
    "InvalidParameterValue": "check --with type, and that the image supports it",
    "InvalidKeyPair.NotFound": "--with key=NAME must exist in this region",
    "InvalidPlacementGroup.Unknown": "--with placement_group=NAME must exist",
    "ExpiredToken": "renew the credentials (aws sso login)",
    "RequestExpired": "renew the credentials, and check this host's clock",
    "ClusterNotFoundException": "--with cluster=NAME must exist in this region",
    "NoSuchBucket": "--with bucket=NAME must exist",
    **dict.fromkeys(THROTTLING_CODES, _THROTTLING_CURE),
}


def error_code(error: Exception) -> str:
    """Return AWS's code for an error, or an empty string."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def deploy_error(error: Exception) -> DeployError:
    """Return a boto error as one with a cause and, where one is known, a cure."""
    if isinstance(error, NoCredentialsError):
        return DeployError(
            "no AWS credentials", "run aws configure, set AWS_PROFILE, or use an instance profile"
        )
    if isinstance(error, NoRegionError):
        return DeployError("no AWS region", "use --with region=eu-west-1, or set AWS_DEFAULT_REGION")
    if isinstance(error, ClientError):
        code = error_code(error)
        message = brief(str(error.response.get("Error", {}).get("Message", "")))
        return DeployError(f"{code}: {message.rstrip('.')}", _CURES.get(code, ""))
    if isinstance(error, ResponseParserError):
        return DeployError(
            f"what responded is not AWS: {brief(str(error))}", "check HTTPS_PROXY and the network"
        )
    return DeployError(brief(str(error)))


def retry(call: Callable[[], Any], sleep: Callable[[float], None]) -> Any:
    """Return the result of an idempotent call, repeated while its failures are temporary.

    Raises permanent boto errors at once, and temporary ones after several attempts.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return call()
        except AWS_ERRORS as error:
            # boto finds its other errors, such as missing credentials, without a server: they would recur.
            is_temporary = error_code(error) in TEMPORARY_CODES or isinstance(error, _UNANSWERED)
            attempts = _UNREACHED_ATTEMPTS if isinstance(error, _UNREACHED) else _ATTEMPTS
            if not is_temporary or attempt == attempts:
                raise
            sleep(_FIRST_PAUSE_S * 2 ** (attempt - 1))
    raise AssertionError("the last attempt returns or raises")


@contextlib.contextmanager
def translate_errors() -> Iterator[None]:
    """Turn boto's errors into DeployError inside a `with` block."""
    try:
        yield
    except AWS_ERRORS as error:
        raise deploy_error(error) from None
