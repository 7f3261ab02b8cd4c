"""Instances by a launch template that is there: what RunInstances is asked, and which templates don't serve."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from heyfleet.errors import DeployError

from .account import Account, account, allowed, launch_request, quiet

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
GOLDEN = Path(__file__).with_name("run-instances.json")
SPOT = {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "persistent", "MaxPrice": "0.05"}}


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    with account(tmp_path, monkeypatch) as made:
        yield made


def template(aws: Account, **data: Any) -> str:
    """The id of a launch template `load` whose instances would be stopped, kept, and bought again."""
    whole = {
        "ImageId": aws.ami,
        "InstanceType": "t3.nano",
        "UserData": "bm90aGluZw==",
        "InstanceInitiatedShutdownBehavior": "stop",
        "DisableApiTermination": True,
        "MetadataOptions": {"HttpTokens": "optional"},
        **data,
    }
    data = {name: value for name, value in whole.items() if value}
    made = aws.ec2.create_launch_template(LaunchTemplateName="load", LaunchTemplateData=data)
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


def run_instances_parameters(aws: Account, **given: object) -> dict[str, Any]:
    """The request by which an provider with these settings starts two instances, without what differs each time."""
    del aws.requests[:]
    made = aws.provider(**given).launch(launch_request(2), quiet)
    assert (len(made.instances), made.failures) == (2, [])
    (given_to, *_) = [arguments for name, arguments in aws.requests if name == "RunInstances"]
    request: dict[str, Any] = json.loads(json.dumps(given_to))
    assert "boss:7700" in request.pop("UserData")
    del request["ClientToken"]
    for specification in request["TagSpecifications"]:
        (expires,) = [each for each in specification["Tags"] if each["Key"] == "heyfleet:expires"]
        assert expires["Value"].isdecimal()
        expires["Value"] = "EXPIRES"
    return request


def test_requests_are_as_they_were_read(aws: Account) -> None:
    devices = [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 20, "DeleteOnTermination": False}}]
    key = template(aws, InstanceMarketOptions=SPOT, BlockDeviceMappings=devices)
    whole = {
        "by no template": run_instances_parameters(aws, type=""),
        "by a template": run_instances_parameters(aws, type="", ami="", launch_template="load"),
        "by a template, with settings over it": run_instances_parameters(
            aws, launch_template=f"{key}:1", spot=True, key="mine", placement_group="near"
        ),
    }
    text = json.dumps(whole, indent=2, sort_keys=True).replace(aws.ami, "AMI").replace(key, "TEMPLATE")
    assert text + "\n" == GOLDEN.read_text()


def test_instances_are_of_the_template_and_end_as_all_do(aws: Account) -> None:
    template(aws)
    (instance,) = (
        aws.provider(type="", ami="", launch_template="load:$Latest")
        .launch(launch_request(1), quiet)
        .instances
    )
    (held,) = aws.ec2.describe_instances(InstanceIds=[instance.id])["Reservations"]
    (description,) = held["Instances"]
    assert (description["InstanceType"], description["ImageId"]) == ("t3.nano", aws.ami)
    assert description["MetadataOptions"]["HttpTokens"] == "required"
    for name, value in (
        ("instanceInitiatedShutdownBehavior", "terminate"),
        ("disableApiTermination", False),
    ):
        attribute = aws.ec2.describe_instance_attribute(InstanceId=instance.id, Attribute=name)
        assert attribute[name[0].upper() + name[1:]]["Value"] == value
    assert len(aws.provider().stop("demo", quiet)) == 2
    assert aws.left() == []


def test_a_plan_has_the_template_s_type_and_what_it_needs(aws: Account) -> None:
    key = template(aws, InstanceMarketOptions=SPOT, IamInstanceProfile={"Name": "role"})
    plan = aws.provider(type="", ami="", launch_template="load").plan(launch_request(2))
    assert plan.resources[0] == (
        "2 spot instances of type t3.nano in the launch template's subnet or the default VPC in us-east-1, "
        f"tagged heyfleet:fleet=demo, from version 1 of the launch template {key}"
    )
    assert plan.policy is not None
    assert allowed("iam:PassRole", plan.policy)
    assert allowed("ec2:DescribeLaunchTemplateVersions", plan.policy)
    plain = aws.provider().plan(launch_request(2)).policy
    assert plain is not None
    assert not allowed("ec2:DescribeLaunchTemplateVersions", plain)


@pytest.mark.parametrize(
    ("data", "given", "message"),
    [
        ({}, {"launch_template": "other"}, "--with launch_template=other must exist in this region"),
        ({}, {"launch_template": "load:newest"}, "a version is a number, $Latest or $Default"),
        ({}, {"launch_template": ":3"}, "is not NAME_OR_ID[:VERSION]"),
        ({"ImageId": ""}, {}, "load has no image; name one with --with ami="),
        ({"InstanceType": ""}, {}, "load has no type; name one with --with type="),
        ({"NetworkInterfaces": [{"DeviceIndex": 0}]}, {"subnets": ["subnet-1"]}, "leave that setting out"),
        (
            {"NetworkInterfaces": [{"DeviceIndex": 0, "DeleteOnTermination": False}]},
            {},
            "keeps network interfaces",
        ),
    ],
)
def test_a_template_that_does_not_serve_is_named_before_anything_is_made(
    aws: Account, data: dict[str, Any], given: dict[str, Any], message: str
) -> None:
    template(aws, **data)
    provider = aws.provider(**{"type": "", "ami": "", "launch_template": "load", **given})
    for work in (provider.plan, lambda wanted: provider.launch(wanted, quiet)):
        with pytest.raises(DeployError) as error:
            work(launch_request(1))
        assert message in str(error.value)
    assert aws.left() == []
