"""The EC2 provider with the real boto3, on moto: launch, list, failures, removal."""

from __future__ import annotations

import base64
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.client
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from heyfleet.deploy.ec2.bundle_store import BundleSource
from heyfleet.deploy.ec2.provider import Ec2Provider
from heyfleet.deploy.ec2.user_data import render_agent
from heyfleet.deploy.provider import ENDED, RUNNING, STARTING, LaunchRequest
from heyfleet.deploy.settings import read
from heyfleet.errors import DeployError

from ..kills import KILLS
from .account import BUCKET, Account, Killed, account, allowed, launch_request, quiet

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
GOLDEN = Path(__file__).with_name("user-data.txt")


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    with account(tmp_path, monkeypatch) as fake:
        yield fake


def test_up_status_and_down(aws: Account) -> None:
    provider = aws.provider()
    result = provider.launch(launch_request(3), quiet)
    assert (len(result.instances), result.failures) == (3, [])
    reservations = aws.ec2.describe_instances()["Reservations"]
    instances = [each for reservation in reservations for each in reservation["Instances"]]
    for instance in instances:
        tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
        assert tags["heyfleet:fleet"] == "demo"
        assert int(tags["heyfleet:expires"]) == result.instances[0].expires_s > 1.7e9
        assert instance["MetadataOptions"]["HttpTokens"] == "required"
        attribute = aws.ec2.describe_instance_attribute(
            InstanceId=instance["InstanceId"], Attribute="instanceInitiatedShutdownBehavior"
        )
        assert attribute["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"
    attribute = aws.ec2.describe_instance_attribute(InstanceId=result.instances[0].id, Attribute="userData")
    script = base64.b64decode(attribute["UserData"]["Value"]).decode()
    assert f"{BUCKET}.s3" in script or f"/{BUCKET}/" in script
    again = aws.provider()  # like another process, which knows only the fleet's name
    assert {instance.id for instance in again.list("demo")} == {instance.id for instance in result.instances}
    assert {instance.state for instance in again.list()} <= {STARTING, RUNNING}
    assert again.list("other") == []
    assert [name for name, _ in again.logs("demo")] == [instance.name for instance in again.list("demo")]
    removed = again.stop("demo", quiet)
    assert len(removed) == 4
    assert aws.left() == []
    assert {instance.state for instance in again.list("demo")} == {ENDED}
    assert again.stop("demo", quiet) == []


def test_reap_removes_expired_fleets_only(aws: Account) -> None:
    aws.provider().launch(launch_request(2, "old", lifetime_s=-1), quiet)
    aws.provider().launch(launch_request(1, "new"), quiet)
    assert len(aws.provider().reap(quiet)) == 3
    assert {instance.fleet for instance in aws.provider().list() if instance.state != ENDED} == {"new"}
    assert len(aws.provider().reap(quiet, everything=True)) == 2
    assert aws.left() == []


def test_reap_cleans_up_after_a_kill_at_any_call(aws: Account) -> None:
    rng, incomplete_removals = random.Random(7), 0
    for seed in range(KILLS):
        aws.kill_at, aws.after = rng.randint(1, 9), rng.random() < 0.5
        try:
            provider = aws.provider()
            provider.launch(launch_request(2, f"f{seed}", lifetime_s=0), quiet)
            provider.list(f"f{seed}")
            provider.stop(f"f{seed}", quiet)
        except Killed:
            pass
        aws.kill_at = 0
        incomplete_removals += bool(aws.left())
        aws.provider().reap(quiet)
        assert aws.left() == [], seed
        aws.forget_terminated()
    assert incomplete_removals > KILLS / 4


def test_the_policy_allows_every_call(aws: Account) -> None:
    provider = aws.provider()
    plan = provider.plan(launch_request())
    assert plan.policy is not None
    provider.launch(launch_request(), quiet)
    list(provider.logs("demo"))
    provider.stop("demo", quiet)
    assert "ec2:RunInstances" in aws.calls
    for call in set(aws.calls):
        action = {"s3:ListObjectsV2": "s3:ListBucket"}.get(call, call)
        assert allowed(action, plan.policy), call
    assert not allowed("ec2:DeleteVpc", plan.policy)


def test_a_plan_changes_nothing_and_explains_a_missing_price(
    aws: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "\n".join(aws.provider().plan(launch_request(20)).lines())
    assert aws.left() == []
    assert "20 on-demand instances of type t3.micro in the default VPC in us-east-1" in lines
    assert "cost: unknown" in lines
    assert "instances must reach boss:7700" in lines
    call = botocore.client.BaseClient._make_api_call

    def price(self: Any, name: str, arguments: Any) -> Any:
        if name != "GetProducts":
            return call(self, name, arguments)
        text = '{"terms":{"OnDemand":{"a":{"priceDimensions":{"b":{"pricePerUnit":{"USD":"0.0104"}}}}}}}'
        return {"PriceList": [text]}

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", price)
    assert "cost: 0.208 USD per hour (on-demand price list" in "\n".join(
        aws.provider().plan(launch_request(20)).lines()
    )


def refusing(monkeypatch: pytest.MonkeyPatch, name: str, *errors: Exception) -> list[dict[str, Any]]:
    """Let the next calls of an operation fail with these errors; return the arguments of all its calls."""
    call, waiting, calls = botocore.client.BaseClient._make_api_call, list(errors), list[dict[str, Any]]()

    def refuse(self: Any, operation: str, arguments: Any) -> Any:
        if operation == name:
            calls.append(dict(arguments))
            if waiting:
                raise waiting.pop(0)
        return call(self, operation, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", refuse)
    return calls


def error(code: str, message: str = "no.") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "RunInstances")


@pytest.mark.parametrize(
    ("code", "cure"),
    [
        ("VcpuLimitExceeded", "request a larger vCPU quota"),
        ("UnauthorizedOperation", "grant the permissions that --dry-run prints"),
        ("InvalidAMIID.NotFound", "--with ami=ID must exist in this region"),
        ("InvalidSubnetID.NotFound", "--with subnets=ID must exist in this region"),
        ("ExpiredToken", "renew the credentials"),
        ("SomethingElse", "SomethingElse: no"),
    ],
)
def test_an_error_has_its_cure(aws: Account, monkeypatch: pytest.MonkeyPatch, code: str, cure: str) -> None:
    calls = refusing(monkeypatch, "RunInstances", error(code))
    result = aws.provider().launch(launch_request(2), quiet)
    assert result.instances == []
    assert len(result.failures) == len(calls) == 1
    assert cure in result.failures[0]
    assert aws.left() == []


def test_the_next_subnet_makes_up_for_a_full_zone(aws: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    subnets = [each["SubnetId"] for each in aws.ec2.describe_subnets()["Subnets"][:2]]
    refusing(monkeypatch, "RunInstances", error("InsufficientInstanceCapacity"))
    result = aws.provider(subnets=subnets).launch(launch_request(3), quiet)
    assert len(result.instances) == 3
    assert f"{subnets[0]}: InsufficientInstanceCapacity" in result.failures[0]
    reservations = aws.ec2.describe_instances()["Reservations"]
    assert {each["SubnetId"] for reservation in reservations for each in reservation["Instances"]} == {
        subnets[1]
    }


def test_temporary_failures_are_repeated_with_the_same_client_token(
    aws: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = EndpointConnectionError(endpoint_url="https://ec2")
    calls = refusing(monkeypatch, "RunInstances", error("RequestLimitExceeded"), lost, error("InternalError"))
    result = aws.provider().launch(launch_request(2), quiet)
    assert (len(result.instances), result.failures) == (2, [])
    assert len({each["ClientToken"] for each in calls[:4]}) == 1
    assert len(calls) == 5  # moto starts only MinCount instances: the second one takes another call


def test_incomplete_settings_are_refused_before_the_launch(aws: Account) -> None:
    for overrides, message in (
        ({"bundle": ""}, "--with bundle=FILE"),
        ({"bundle": "/nowhere"}, "there is no file /nowhere"),
        ({"bucket": ""}, "--with bucket=NAME"),
        ({"bundle": "https://host/x.tar.gz"}, "--with sha256="),
    ):
        with pytest.raises(DeployError) as error:
            aws.provider(**overrides).launch(launch_request(), quiet)
        assert message in str(error.value)
    assert aws.left() == []


def test_no_credentials_and_no_region(aws: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(DeployError, match="no AWS region; use --with region="):
        Ec2Provider(read("ec2", Ec2Provider.settings, {}))


def test_user_data_equals_the_reviewed_script(tmp_path: Path) -> None:
    script = render_agent(
        launch_request(lifetime_s=7201),
        BundleSource("https://host/bundle.tar.gz?X-Amz-Signature=a&b='c'", "ab" * 32),
    )
    assert script == GOLDEN.read_text()
    assert "\nshutdown -P +121 || poweroff # first of all" in script
    checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    with pytest.raises(DeployError, match="EC2 accepts 16384"):
        render_agent(launch_request(), BundleSource("https://host/" + "x" * 16000, ""))


def test_stop_waits_until_instances_are_terminated(aws: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    aws.provider().launch(launch_request(1), quiet)
    call, late, log = botocore.client.BaseClient._make_api_call, [4], list[str]()

    def slow(self: Any, name: str, arguments: Any) -> Any:
        answer = call(self, name, arguments)
        if name == "DescribeInstances" and late[0] > 0:
            late[0] -= 1
            for reservation in answer["Reservations"]:
                for instance in reservation["Instances"]:
                    instance["State"]["Name"] = "shutting-down"
        return answer

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", slow)
    assert len(aws.provider().stop("demo", log.append)) == 2
    assert log.count("waiting for 1 instance to terminate") == 3
    assert aws.left() == []


def test_secrets_are_never_logged(aws: Account) -> None:
    log: list[str] = []
    request = LaunchRequest(
        fleet="demo", agents=1, join="b:1", ca_pem=b"CA", token=b"tok-secret", lifetime_s=60
    )
    aws.provider().launch(request, log.append)
    aws.provider().stop("demo", log.append)
    assert log
    assert "tok-secret" not in " ".join(log + list(aws.provider().plan(request).lines()))
