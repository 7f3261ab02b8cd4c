"""What moto lacks, with botocore's stubs: image parameters, prices, spot, quotas; and missing credentials."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import ANY

from .account import BUCKET, Account, launch_request, listed, quiet
from .test_provider import aws, refusing

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
__all__ = ["aws"]


@pytest.mark.parametrize(("kind", "machine"), [("c7i.large", "amd64"), ("c7g.large", "arm64")])
def test_the_default_image_is_debian_for_the_type_s_architecture(
    aws: Account, monkeypatch: pytest.MonkeyPatch, kind: str, machine: str
) -> None:
    name = f"/aws/service/debian/release/12/latest/{machine}"
    calls = refusing(monkeypatch, "RunInstances")
    with aws.stubbed("ssm") as stub:
        parameter = {
            "Name": name,
            "Type": "String",
            "Value": aws.ami,
            "Version": 74,
            "DataType": "aws:ec2:image",
        }
        stub.add_response("get_parameter", {"Parameter": parameter}, {"Name": name})
        result = aws.provider(ami="", type=kind).launch(launch_request(1), quiet)
        stub.assert_no_pending_responses()
    assert (len(result.instances), result.failures) == (1, [])
    assert (calls[0]["ImageId"], calls[0]["InstanceType"]) == (aws.ami, kind)


def test_spot_instances_are_one_time(aws: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = refusing(monkeypatch, "RunInstances")
    result = aws.provider(spot="true").launch(launch_request(1), quiet)
    assert (len(result.instances), result.failures) == (1, [])
    assert calls[0]["InstanceMarketOptions"] == {
        "MarketType": "spot",
        "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
    }
    (reservation,) = aws.ec2.describe_instances(InstanceIds=[result.instances[0].id])["Reservations"]
    assert reservation["Instances"][0]["InstanceLifecycle"] == "spot"


def history(*prices: str) -> dict[str, Any]:
    zones = "abcdef"
    return {
        "NextToken": "",
        "SpotPriceHistory": [
            {
                "AvailabilityZone": f"us-east-1{zone}",
                "InstanceType": "t3.micro",
                "ProductDescription": "Linux/UNIX",
                "SpotPrice": price,
                "Timestamp": "2026-11-20T10:00:00Z",
            }
            for zone, price in zip(zones, prices, strict=False)
        ],
    }


def test_the_spot_price_is_that_of_the_most_expensive_zone(aws: Account) -> None:
    question = {
        "InstanceTypes": ["t3.micro"],
        "ProductDescriptions": ["Linux/UNIX"],
        "StartTime": ANY,
    }
    for answer, message in (
        (history("0.003100", "0.004200", "0.002900"), "cost: 0.042 USD per hour (current spot price)"),
        (history(), "cost: unknown (the price list has no t3.micro for this region)"),
    ):
        # The client for prices repeats calls by itself.
        with aws.stubbed("ec2", attempts=3) as stub:
            stub.add_response("describe_spot_price_history", answer, question)
            assert message in "\n".join(aws.provider(spot="true").plan(launch_request(10)).lines())
            stub.assert_no_pending_responses()


def test_the_on_demand_price_is_that_of_the_launched_type(aws: Account) -> None:
    wanted = {
        "instanceType": "t3.micro",
        "regionCode": "us-east-1",
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
    }
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
    question = {"ServiceCode": "AmazonEC2", "Filters": filters, "MaxResults": 100}
    product = listed("BoxUsage:t3.micro", "0.0104000000", "AmazonEC2", **wanted)
    for products, message in (
        ([product], "cost: 0.208 USD per hour (on-demand price list"),
        ([], "cost: unknown (the price list has no t3.micro for this region)"),
    ):
        with aws.stubbed("pricing", region_name="us-east-1") as stub:
            stub.add_response("get_products", {"FormatVersion": "aws_v1", "PriceList": products}, question)
            assert message in "\n".join(aws.provider().plan(launch_request(20)).lines())
            stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("code", "cure"),
    [
        ("VcpuLimitExceeded", "request a larger vCPU quota (Service Quotas), or use a smaller type"),
        ("InstanceLimitExceeded", "request a larger quota (Service Quotas), or use fewer agents"),
        ("MaxSpotInstanceCountExceeded", "request a larger spot quota"),
    ],
)
def test_a_quota_keeps_the_instances_so_far_and_is_reported(aws: Account, code: str, cure: str) -> None:
    question = dict.fromkeys(
        (
            *("ImageId", "InstanceType", "InstanceInitiatedShutdownBehavior", "MetadataOptions"),
            *("TagSpecifications", "UserData", "MinCount", "MaxCount", "ClientToken"),
        ),
        ANY,
    )
    had = [
        {"InstanceId": f"i-{number:017x}", "State": {"Code": 0, "Name": "pending"}} for number in range(100)
    ]
    with aws.stubbed("ec2") as stub:
        stub.add_response("run_instances", {"ReservationId": "r-1", "Instances": had}, question)
        stub.add_client_error("run_instances", code, "You have requested more than your current limit.", 400)
        result = aws.provider().launch(launch_request(250), quiet)
        stub.assert_no_pending_responses()
    assert len(result.instances) == 100
    assert len(result.failures) == 1
    assert result.failures[0].startswith(
        f"ec2: {code}: You have requested more than your current limit; {cure}"
    )
    # The object stays: a hundred instances are about to fetch it.
    assert len(aws.s3.list_objects_v2(Bucket=BUCKET)["Contents"]) == 1


@pytest.mark.parametrize("on", ["ec2", "ecs"])
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("fleet status", 1),
        ("fleet down", 1),
        ("fleet reap", 1),
        ("fleet up --count 2 --join b:1 --dry-run", 0),
    ],
)
def test_missing_credentials_are_reported_in_one_line(
    tmp_path: Path, on: str, command: str, code: int
) -> None:
    """Run a command as on a host without any AWS configuration."""
    words = [*command.split(), "--on", on, "--with", "region=eu-west-1"]
    if "up" in words and on == "ec2":
        (tmp_path / "bundle").touch()
        words += ["--with", f"bundle={tmp_path}/bundle", "--with", "bucket=b"]
    elif "up" in words:
        words += ["--with", "image=i", "--with", "subnets=s", "--with", "execution_role=r"]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_EC2_METADATA_DISABLED": "true",  # or boto would wait for it
    }
    run = subprocess.run(
        [sys.executable, "-m", "heyfleet", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    output = run.stdout + run.stderr
    assert run.returncode == code, output
    assert "Traceback" not in output
    assert "no AWS credentials; run aws configure, set AWS_PROFILE, or use an instance profile" in output
    if code:
        assert (run.stdout, run.stderr.count("\n")) == ("", 1)


def test_an_unknown_profile_is_reported(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_PROFILE": "nobody"}
    run = subprocess.run(
        [sys.executable, "-m", "heyfleet", "fleet", "status", "--on", "ec2"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "The config profile (nobody) could not be found" in run.stderr
    assert "Traceback" not in run.stderr
