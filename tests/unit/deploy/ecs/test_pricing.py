"""What a plan says of prices and roles, from answers in the shape that the price list gives."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from heyfleet.deploy.aws.client import AwsSession
from heyfleet.deploy.ecs.policy import price, tasks_policy

from ..ec2.account import launch_request, listed
from .test_provider import Account, aws

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
__all__ = ["aws"]

ASKED = {
    "ServiceCode": "AmazonECS",
    "Filters": [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": "us-east-1"}],
    "MaxResults": 100,
}
# As AWS lists them: in no order, with others of the service that are named nearly the same.
FIRST = [
    listed("USE1-Fargate-Windows-vCPU-Hours:perCPU", "0.0914800000", operatingSystem="Windows"),
    listed("USE1-ECS-EC2-vCPU-Hours", "0.0000000000", cputype="perCPU"),
    listed("USE1-Fargate-ARM-GB-Hours", "0.0035600000", cpuArchitecture="ARM", memorytype="perGB"),
    listed("USE1-Fargate-GB-Hours", "0.0044450000", tenancy="Shared", memorytype="perGB"),
]
SECOND = [
    listed("USE1-Fargate-EphemeralStorage-GB-Hours", "0.0001110000"),
    listed("USE1-Fargate-ARM-vCPU-Hours:perCPU", "0.0323800000", cpuArchitecture="ARM"),
    listed("USE1-Fargate-vCPU-Hours:perCPU", "0.0404800000", tenancy="Shared", cputype="perCPU"),
]


def lines(aws: Account, answers: list[dict[str, Any]], agents: int = 20, **given: object) -> str:
    with aws.pricing() as stub:
        token: dict[str, str] = {}
        for answer in answers:
            stub.add_response("get_products", {"FormatVersion": "aws_v1", **answer}, {**ASKED, **token})
            token = {"NextToken": answer["NextToken"]} if "NextToken" in answer else {}
        said = "\n".join(aws.provider(**given).plan(launch_request(agents)).lines())
        stub.assert_no_pending_responses()
    return said


def test_a_fleet_s_price_is_of_its_cores_and_its_memory(aws: Account) -> None:
    pages: list[dict[str, Any]] = [{"PriceList": FIRST, "NextToken": "more"}, {"PriceList": SECOND}]
    said = lines(aws, pages)
    # 20 tasks of one core at 0.04048, and of 2 GB at 0.004445
    assert "cost: 0.987 USD per hour (price list of Fargate on Linux and x86, without logs" in said
    said = lines(aws, pages, agents=1, cpu="4096", memory="30720")
    assert "cost: 0.295 USD per hour" in said


def test_a_region_without_a_word_of_its_own_is_read_too(aws: Account) -> None:
    products = [listed("Fargate-vCPU-Hours:perCPU", "0.05"), listed("Fargate-GB-Hours", "0.005")]
    assert "cost: 0.060 USD per hour" in lines(aws, [{"PriceList": products}], agents=1)


def test_spot_has_no_listed_price(aws: Account) -> None:
    said = lines(aws, [{"PriceList": FIRST + SECOND}], spot=True)
    assert (
        "cost: unknown (no price list has Fargate Spot; on demand, a task costs 0.0494 USD per hour)" in said
    )


@pytest.mark.parametrize(
    "products", [[], FIRST, ["{"], [listed("USE1-Fargate-vCPU-Hours:perCPU", "much"), *FIRST]]
)
def test_a_list_without_it_is_said(aws: Account, products: list[str]) -> None:
    said = lines(aws, [{"PriceList": products}])
    assert "cost: unknown (the price list has no Fargate for us-east-1)" in said


def test_a_refusal_is_said_and_the_plan_is_there(aws: Account) -> None:
    with aws.pricing() as stub:
        stub.add_client_error("get_products", "AccessDeniedException", "User is not authorized", 400)
        said = "\n".join(aws.provider().plan(launch_request()).lines())
    assert (
        "cost: unknown (AccessDeniedException: User is not authorized; grant the permissions that --dry-run"
        in said
    )
    assert "required permissions:" in said
    assert '"pricing:GetProducts"' in said


def test_an_api_that_can_t_be_reached_is_said() -> None:
    class Away:
        """A session in a network that has no way there."""

        def client(self, *_: object, **__: object) -> Any:
            raise EndpointConnectionError(endpoint_url="https://pricing")

    session = AwsSession("", make_session=lambda **_: Away())
    found, why = price(session, "us-east-1", cpu="1024", memory="2048", spot=False)
    assert found is None
    assert "Could not connect to the endpoint" in why


@pytest.mark.parametrize(
    ("given", "resource"),
    [
        ("arn:aws-cn:iam::123456789012:role/a/pull", "arn:aws-cn:iam::123456789012:role/a/pull"),
        ("pull", "arn:aws:iam::*:role/pull"),
    ],
)
def test_the_role_that_may_be_passed_is_the_one_that_is_named(given: str, resource: str) -> None:
    statements = tasks_policy(execution_role=given, with_logs=False)["Statement"]
    assert [each["Resource"] for each in statements if each["Sid"] == "Role"] == [resource]
