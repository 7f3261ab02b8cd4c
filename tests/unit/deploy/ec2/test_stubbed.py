"""What moto does not know, by botocore's own stubs: images by parameter, prices, spot, quotas. And no credentials at all."""

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
def test_the_default_image_is_debian_s_for_the_type(
    aws: Account, monkeypatch: pytest.MonkeyPatch, kind: str, machine: str
) -> None:
    name = f"/aws/service/debian/release/12/latest/{machine}"
    asked = refusing(monkeypatch, "RunInstances")
    with aws.stubbed("ssm") as stub:
        held = {"Name": name, "Type": "String", "Value": aws.ami, "Version": 74, "DataType": "aws:ec2:image"}
        stub.add_response("get_parameter", {"Parameter": held}, {"Name": name})
        made = aws.provider(ami="", type=kind).launch(launch_request(1), quiet)
        stub.assert_no_pending_responses()
    assert (len(made.instances), made.failures) == (1, [])
    assert (asked[0]["ImageId"], asked[0]["InstanceType"]) == (aws.ami, kind)


def test_spot_is_asked_for_once_and_ends_with_its_interruption(
    aws: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = refusing(monkeypatch, "RunInstances")
    made = aws.provider(spot="true").launch(launch_request(1), quiet)
    assert (len(made.instances), made.failures) == (1, [])
    assert asked[0]["InstanceMarketOptions"] == {
        "MarketType": "spot",
        "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
    }
    (held,) = aws.ec2.describe_instances(InstanceIds=[made.instances[0].id])["Reservations"]
    assert held["Instances"][0]["InstanceLifecycle"] == "spot"


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


def test_the_spot_price_is_the_dearest_zone_s_of_now(aws: Account) -> None:
    question = {
        "InstanceTypes": ["t3.micro"],
        "ProductDescriptions": ["Linux/UNIX"],
        "StartTime": ANY,
    }
    for answer, said in (
        (history("0.003100", "0.004200", "0.002900"), "cost: 0.042 USD per hour (current spot price)"),
        (history(), "cost: unknown (the price list has no t3.micro for this region)"),
    ):
        # The price is asked for by a client with boto's own repetitions.
        with aws.stubbed("ec2", attempts=3) as stub:
            stub.add_response("describe_spot_price_history", answer, question)
            assert said in "\n".join(aws.provider(spot="true").plan(launch_request(10)).lines())
            stub.assert_no_pending_responses()


def test_the_price_on_demand_is_asked_for_by_what_is_started(aws: Account) -> None:
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
    for products, said in (
        ([product], "cost: 0.208 USD per hour (on-demand price list"),
        ([], "cost: unknown (the price list has no t3.micro for this region)"),
    ):
        with aws.stubbed("pricing", region_name="us-east-1") as stub:
            stub.add_response("get_products", {"FormatVersion": "aws_v1", "PriceList": products}, question)
            assert said in "\n".join(aws.provider().plan(launch_request(20)).lines())
            stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    ("code", "cure"),
    [
        ("VcpuLimitExceeded", "request a larger vCPU quota (Service Quotas), or use a smaller type"),
        ("InstanceLimitExceeded", "request a larger quota (Service Quotas), or use fewer agents"),
        ("MaxSpotInstanceCountExceeded", "request a larger spot quota"),
    ],
)
def test_a_quota_keeps_what_was_had_and_names_what_was_not(aws: Account, code: str, cure: str) -> None:
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
        made = aws.provider().launch(launch_request(250), quiet)
        stub.assert_no_pending_responses()
    assert len(made.instances) == 100
    assert len(made.failures) == 1
    assert made.failures[0].startswith(
        f"ec2: {code}: You have requested more than your current limit; {cure}"
    )
    # The object stays: those hundred are on their way to it.
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
def test_without_credentials_it_says_so_in_one_line(tmp_path: Path, on: str, command: str, code: int) -> None:
    """As on a host where nobody ever spoke to AWS."""
    words = [*command.split(), "--on", on, "--with", "region=eu-west-1"]
    if "up" in words and on == "ec2":
        (tmp_path / "bundle").touch()
        words += ["--with", f"bundle={tmp_path}/bundle", "--with", "bucket=b"]
    elif "up" in words:
        words += ["--with", "image=i", "--with", "subnets=s", "--with", "execution_role=r"]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_EC2_METADATA_DISABLED": "true",  # which would be asked, and is awaited
    }
    run = subprocess.run(
        [sys.executable, "-m", "heyfleet", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    said = run.stdout + run.stderr
    assert run.returncode == code, said
    assert "Traceback" not in said
    assert "no AWS credentials; run aws configure, set AWS_PROFILE, or use an instance profile" in said
    if code:
        assert (run.stdout, run.stderr.count("\n")) == ("", 1)


def test_a_profile_that_is_not_there_is_named(tmp_path: Path) -> None:
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
