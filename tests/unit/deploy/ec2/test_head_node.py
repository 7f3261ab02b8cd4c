"""Head nodes on EC2: their parameters, their addresses, and their removal with the fleet."""

from __future__ import annotations

import base64
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.client
import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner

from heyfleet.cli.fleet import status_lines
from heyfleet.cli.main import main
from heyfleet.deploy.provider import HeadNodeProvider, HeadNodeRequest
from heyfleet.errors import DeployError

from ..kills import KILLS
from .account import Account, Killed, account, launch_request, quiet

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
CREDENTIALS = {"ca.pem": b"CA\n", "ca.key": b"KEY\n", "tokens.json": b"[]\n"}


def head_request(fleet: str = "demo", lifetime_s: int = 600) -> HeadNodeRequest:
    return HeadNodeRequest(fleet=fleet, lifetime_s=lifetime_s, credentials=CREDENTIALS, port=7700)


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    with account(tmp_path, monkeypatch) as fake:
        yield fake


def instance(aws: Account, key: str) -> dict[str, Any]:
    (reservation,) = aws.ec2.describe_instances(InstanceIds=[key])["Reservations"]
    return dict(reservation["Instances"][0])


def test_a_head_node_is_one_more_instance_of_the_fleet(aws: Account) -> None:
    (group,) = [each["GroupId"] for each in aws.ec2.describe_security_groups()["SecurityGroups"]]
    provider = aws.provider(head_security_groups=[group], spot=True)
    assert isinstance(provider, HeadNodeProvider)
    head_node = provider.launch_head_node(head_request(), quiet)
    description = instance(aws, head_node.id)
    assert head_node.internal_address == f"{description['PrivateIpAddress']}:7700"
    assert head_node.external_address == f"{description['PublicIpAddress']}:7700"
    (request,) = [arguments for name, arguments in aws.requests if name == "RunInstances"]
    assert request["SecurityGroupIds"] == [group]
    assert request["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert "InstanceMarketOptions" not in request  # never spot: a run would be lost with its controller
    tags = {each["Key"]: each["Value"] for each in description["Tags"]}
    assert (tags["heyfleet:fleet"], tags["heyfleet:role"]) == ("demo", "head")
    attribute = aws.ec2.describe_instance_attribute(InstanceId=head_node.id, Attribute="userData")
    script = base64.b64decode(attribute["UserData"]["Value"]).decode()
    assert script.startswith("#!/bin/bash")
    assert "shutdown -P +10 || poweroff" in script
    assert "\nKEY\nKEY\n" in script
    assert "controller --listen 0.0.0.0:7700" in script
    assert "join.token" not in script  # only agents need a token
    checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    provider.launch(launch_request(2), quiet)
    instances = aws.provider().list("demo")
    assert sorted(instance.is_head_node for instance in instances) == [False, False, True]
    assert "head node, runs the controller" in "\n".join(status_lines(instances, {}, 0))
    assert len([line for line in aws.provider().stop("demo", quiet) if line.startswith("instance")]) == 3
    assert aws.left() == []


def test_a_head_node_from_a_spot_template_is_one_time(aws: Account) -> None:
    market = {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "persistent"}}
    data = {"ImageId": aws.ami, "InstanceType": "t3.nano", "InstanceMarketOptions": market}
    aws.ec2.create_launch_template(LaunchTemplateName="load", LaunchTemplateData=data)
    aws.provider(launch_template="load", spot=True).launch_head_node(head_request(), quiet)
    (request,) = [arguments for name, arguments in aws.requests if name == "RunInstances"]
    assert request["InstanceMarketOptions"]["SpotOptions"]["SpotInstanceType"] == "one-time"


def test_reap_cleans_up_after_a_kill_between_head_node_and_agents(aws: Account) -> None:
    rng, incomplete_removals = random.Random(5), 0
    for seed in range(KILLS):
        aws.kill_at, aws.after = rng.randint(1, 7), rng.random() < 0.5
        try:
            aws.provider().launch_head_node(head_request(f"f{seed}", 0), quiet)
            aws.provider().launch(launch_request(1, f"f{seed}", lifetime_s=0), quiet)
        except Killed:
            pass
        aws.kill_at = 0
        incomplete_removals += bool(aws.left())
        aws.provider().reap(quiet)
        assert aws.left() == [], seed
        aws.forget_terminated()
    assert incomplete_removals > KILLS / 4


def test_a_head_node_that_fails_is_reported_with_the_reason(
    aws: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = botocore.client.BaseClient._make_api_call
    states = ["pending", "pending", "terminated"]

    def terminate(self: Any, name: str, arguments: Any) -> Any:
        answer = call(self, name, arguments)
        if name == "DescribeInstances" and states:
            description = answer["Reservations"][0]["Instances"][0]
            description["State"]["Name"] = states.pop(0)
            description["StateReason"] = {"Message": "no volume"}
        return answer

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", terminate)
    with pytest.raises(DeployError, match=r"the head node i-.* does not run: no volume"):
        aws.provider().launch_head_node(head_request(), quiet)

    def refuse(self: Any, name: str, arguments: Any) -> Any:
        if name == "RunInstances":
            raise ClientError({"Error": {"Code": "VcpuLimitExceeded", "Message": "no."}}, name)
        return call(self, name, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", refuse)
    with pytest.raises(
        DeployError,
        match="the head node was not started: ec2: VcpuLimitExceeded: no; request a larger vCPU quota",
    ):
        aws.provider().launch_head_node(head_request(), quiet)
    aws.provider().stop("demo", quiet)
    assert aws.left() == []


def fleet_up(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["fleet", "up", *words])
    return result.exit_code, result.output


def test_contradicting_flags_are_refused(aws: Account, tmp_path: Path) -> None:
    flags = (
        "--on",
        "ec2",
        "--count",
        "2",
        "--with",
        f"bundle={aws.bundle}",
        "--with",
        "bucket=bundles",
        "--head",
    )
    code, text = fleet_up(*flags)
    assert (code, "--head needs --credentials DIR" in text) == (2, True), text
    code, text = fleet_up(*flags, "--credentials", "c", "--controller", "boss:7700")
    assert (code, "leave out --controller and --join" in text) == (2, True), text
    code, text = fleet_up("--on", "local", "--count", "2", "--head", "--credentials", str(tmp_path / "c"))
    assert (code, "this provider can't launch a controller; use --on ec2" in text) == (2, True), text
    code, text = fleet_up(*flags, "--dry-run")
    assert (code, "3 on-demand instances" in text, "one of the instances is the head node" in text) == (
        0,
        True,
        True,
    ), text
    assert not (tmp_path / "c").exists()
    assert aws.left() == []
