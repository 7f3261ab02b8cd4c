"""Fleets in an Auto Scaling group, on moto: launches, refusals, releases, and kills at any call."""

from __future__ import annotations

import base64
import contextlib
import random
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.client
import pytest
from click.testing import CliRunner
from moto.autoscaling.models import autoscaling_backends
from moto.core.models import DEFAULT_ACCOUNT_ID

from heyfleet.cli.main import main
from heyfleet.deploy.ec2.autoscaling import AutoScalingProvider
from heyfleet.deploy.ec2.bundle_store import BundleSource
from heyfleet.deploy.ec2.user_data import render_agent
from heyfleet.deploy.provider import ENDED, RUNNING
from heyfleet.deploy.settings import read
from heyfleet.errors import DeployError
from tests.pages import heyfleet_commands

from ..kills import KILLS
from .account import Account, Killed, Session, account, allowed, launch_request, quiet

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
ROOT = Path(__file__).parents[4]
KEYS = {"heyfleet:fleet", "heyfleet:expires", "heyfleet:capacity-before"}


class Groups:
    """The account, with Auto Scaling groups in it."""

    def __init__(self, aws: Account) -> None:
        self.aws = aws
        self._session = Session()
        self.client = self._session.client("autoscaling")
        self.subnet = aws.ec2.describe_subnets()["Subnets"][0]["SubnetId"]

    def make(self, name: str = "load", *, script: str = "", **overrides: Any) -> None:
        script = script or render_agent(
            launch_request(), BundleSource("https://host/bundle.tar.gz", "ab" * 32)
        )
        data = {
            "ImageId": self.aws.ami,
            "InstanceType": "t3.micro",
            "UserData": base64.b64encode(script.encode()).decode(),
        }
        response = self.aws.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
        which = {"LaunchTemplateId": response["LaunchTemplate"]["LaunchTemplateId"], "Version": "$Latest"}
        settings = {"MinSize": 0, "MaxSize": 10, "DesiredCapacity": 0, "LaunchTemplate": which, **overrides}
        settings = {key: value for key, value in settings.items() if value is not None}
        self.client.create_auto_scaling_group(
            AutoScalingGroupName=name, VPCZoneIdentifier=self.subnet, **settings
        )

    def provider(self, group: str = "load") -> AutoScalingProvider:
        """Return a new provider, as another process would have."""
        return AutoScalingProvider(
            read("asg", AutoScalingProvider.settings, {"group": group} if group else {}),
            sleep=lambda seconds: None,
            make_session=lambda **more: self._session,
        )

    def group(self, name: str = "load") -> dict[str, Any]:
        (group,) = self.client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return dict(group)

    def tags(self, name: str = "load") -> dict[str, str]:
        return {each["Key"]: each["Value"] for each in self.group(name)["Tags"]}

    def scheduled_actions(self) -> list[dict[str, Any]]:
        return list(self.client.describe_scheduled_actions()["ScheduledUpdateGroupActions"])

    def is_unchanged(self, capacity: int, name: str = "load") -> bool:
        """Return whether the group shows no trace of a fleet."""
        group = self.group(name)
        has = (group["DesiredCapacity"], len(group["Instances"]))
        return (
            has == (capacity, capacity) and not (KEYS & set(self.tags(name))) and not self.scheduled_actions()
        )


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Groups]:
    with account(tmp_path, monkeypatch) as fake:
        yield Groups(fake)


def test_up_status_and_down(groups: Groups) -> None:
    groups.make(DesiredCapacity=1)
    (old,) = groups.group()["Instances"]
    result = groups.provider().launch(launch_request(3), quiet)
    assert (len(result.instances), result.failures) == (3, [])
    assert old["InstanceId"] not in {instance.id for instance in result.instances}
    tags = groups.tags()
    assert (tags["heyfleet:fleet"], tags["heyfleet:capacity-before"]) == ("demo", "1")
    assert not any(tag["PropagateAtLaunch"] for tag in groups.group()["Tags"])
    (action,) = groups.scheduled_actions()
    assert (action["AutoScalingGroupName"], action["DesiredCapacity"]) == ("load", 1)
    assert action["StartTime"] == datetime.fromtimestamp(int(tags["heyfleet:expires"]), UTC)
    again = groups.provider("")  # like another process, which knows only the fleet's name
    assert {instance.id for instance in result.instances} < {instance.id for instance in again.list("demo")}
    assert {(instance.fleet, instance.state) for instance in again.list()} == {("demo", RUNNING)}
    assert again.list("other") == []
    assert len(list(again.logs("demo"))) == 4
    assert len(groups.aws.provider().list()) == 0  # the provider ec2 must not see them
    removed = again.stop("demo", quiet)
    assert len([line for line in removed if line.startswith("instance ")]) == 3
    assert removed[-1] == "the fleet demo from load, whose capacity is 1 again"
    assert groups.is_unchanged(1)
    assert again.stop("demo", quiet) == []


def test_reap_releases_expired_groups_only(groups: Groups) -> None:
    for name in ("load", "other"):
        groups.make(name)
    groups.provider("load").launch(launch_request(2, "old", lifetime_s=-1), quiet)
    groups.provider("other").launch(launch_request(1, "new"), quiet)
    assert len(groups.provider("other").reap(quiet)) == 0  # covers that group only
    assert groups.provider("").reap(quiet)[-1] == "the fleet old from load, whose capacity is 0 again"
    assert {instance.fleet for instance in groups.provider("").list()} == {"new"}
    assert groups.provider("").reap(quiet, everything=True)[-1].startswith("the fleet new from other")
    assert groups.is_unchanged(0)
    assert groups.is_unchanged(0, "other")


def test_reap_cleans_up_after_a_kill_at_any_call(groups: Groups) -> None:
    groups.make("g0")
    groups.make("g1", DesiredCapacity=1)
    aws, rng, incomplete_removals = groups.aws, random.Random(11), 0
    for seed in range(KILLS):
        before = seed % 2
        aws.kill_at, aws.after = rng.randint(1, 16), rng.random() < 0.5
        try:
            provider = groups.provider(f"g{before}")
            provider.launch(launch_request(2, f"f{seed}", lifetime_s=0), quiet)
            provider.list(f"f{seed}")
            provider.stop(f"f{seed}", quiet)
        except Killed:
            pass
        aws.kill_at = 0
        incomplete_removals += not groups.is_unchanged(before, f"g{before}")
        # The reaping process may be killed as well; the next one does the rest.
        aws.kill_at, aws.after = rng.randint(1, 8), rng.random() < 0.5
        with contextlib.suppress(Killed):
            groups.provider("").reap(quiet)
        aws.kill_at = 0
        groups.provider("").reap(quiet)
        assert groups.is_unchanged(0, "g0"), seed
        assert groups.is_unchanged(1, "g1"), seed
        aws.forget_terminated()
    assert incomplete_removals > KILLS / 4


def test_a_group_that_has_grown_always_has_a_scheduled_end(groups: Groups) -> None:
    """After a kill at any call the group is unchanged, or AWS will restore its capacity by itself."""
    groups.make()
    grown = 0
    for kill_at in range(1, 12):
        for after in (False, True):
            groups.aws.kill_at, groups.aws.after = kill_at, after
            with contextlib.suppress(Killed):
                groups.provider().launch(launch_request(2), quiet)
            groups.aws.kill_at = 0
            if groups.group()["DesiredCapacity"]:
                grown += 1
                assert [each["DesiredCapacity"] for each in groups.scheduled_actions()] == [0]
            groups.provider().stop("demo", quiet)
            assert groups.is_unchanged(0)
    assert grown > 4


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"MaxSize": 2}, "has 0 instances and a maximum of 2 (MaxSize); raise the maximum, or ask for 2"),
        ({"script": "nothing"}, "does not contain this controller's CA"),
        ({"NewInstancesProtectedFromScaleIn": True}, "protects new instances from scale-in"),
    ],
)
def test_an_unsuitable_group_is_left_unchanged(
    groups: Groups, overrides: dict[str, Any], message: str
) -> None:
    groups.make(**overrides)
    with pytest.raises(DeployError) as error:
        groups.provider().launch(launch_request(3), quiet)
    assert message in str(error.value)
    assert groups.is_unchanged(0)


def test_groups_that_would_interfere_are_refused(groups: Groups) -> None:
    groups.make()
    groups.client.suspend_processes(AutoScalingGroupName="load", ScalingProcesses=["Launch"])
    with pytest.raises(DeployError, match="has suspended Launch"):
        groups.provider().plan(launch_request(1))
    groups.client.resume_processes(AutoScalingGroupName="load")
    groups.client.put_scaling_policy(
        AutoScalingGroupName="load",
        PolicyName="busy",
        AdjustmentType="ChangeInCapacity",
        ScalingAdjustment=1,
    )
    with pytest.raises(DeployError, match="has the scaling policy busy"):
        groups.provider().plan(launch_request(1))
    with pytest.raises(DeployError, match="there is no Auto Scaling group none in us-east-1"):
        groups.provider("none").plan(launch_request(1))
    with pytest.raises(DeployError, match="--with group=NAME"):
        groups.provider("").plan(launch_request(1))
    groups.client.create_launch_configuration(
        LaunchConfigurationName="old", ImageId=groups.aws.ami, InstanceType="t3.micro"
    )
    groups.make("configured", LaunchTemplate=None, LaunchConfigurationName="old")
    with pytest.raises(DeployError, match="has no launch template"):
        groups.provider("configured").plan(launch_request(1))


def test_weights_are_refused_and_mixed_types_are_not(groups: Groups) -> None:
    groups.make()
    which = {"LaunchTemplateName": "load", "Version": "1"}
    for name, weight in (("plain", {}), ("weighed", {"WeightedCapacity": "2"})):
        overrides = [{"InstanceType": "t3.large", **weight}]
        policy = {"LaunchTemplate": {"LaunchTemplateSpecification": which, "Overrides": overrides}}
        groups.client.create_auto_scaling_group(
            AutoScalingGroupName=name,
            VPCZoneIdentifier=groups.subnet,
            MinSize=0,
            MaxSize=5,
            DesiredCapacity=0,
            MixedInstancesPolicy=policy,
        )
    assert "mixes instance types" in groups.provider("plain").plan(launch_request(1)).price_source
    with pytest.raises(DeployError, match="does not count its capacity in instances"):
        groups.provider("weighed").plan(launch_request(1))


def test_one_fleet_at_a_time(groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    groups.make()
    groups.provider().launch(launch_request(2, "first"), quiet)
    with pytest.raises(DeployError) as error:
        groups.provider().launch(launch_request(2, "second"), quiet)
    assert "load already has the fleet first" in str(error.value)
    assert "`heyfleet fleet down --on asg --name first`" in str(error.value)
    groups.provider().stop("first", quiet)
    call = botocore.client.BaseClient._make_api_call

    def overtake(self: Any, name: str, arguments: Any) -> Any:
        """Let another fleet take the group right after us."""
        answer = call(self, name, arguments)
        if name == "CreateOrUpdateTags":
            theirs = [
                {**tag, "Value": "third"} for tag in arguments["Tags"] if tag["Key"] == "heyfleet:fleet"
            ]
            call(self, name, {"Tags": theirs})
        return answer

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", overtake)
    with pytest.raises(DeployError, match="the fleet third has just taken load"):
        groups.provider().launch(launch_request(2, "second"), quiet)
    assert groups.provider().stop("second", quiet) == []  # the other fleet is not ours to remove
    assert groups.tags()["heyfleet:fleet"] == "third"
    assert groups.group()["DesiredCapacity"] == 0


def test_missing_instances_are_explained_by_the_group_s_activities(
    groups: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups.make()
    groups.provider().launch(launch_request(1, "first"), quiet)
    groups.provider().stop("first", quiet)
    call = botocore.client.BaseClient._make_api_call
    calls: list[int] = []

    def limit(self: Any, name: str, arguments: Any) -> Any:
        """Limit the zone to one instance."""
        if name == "SetDesiredCapacity" and arguments["DesiredCapacity"]:
            calls.append(arguments["DesiredCapacity"])
            arguments = {**arguments, "DesiredCapacity": 1}
        if name == "DescribeScalingActivities":
            old = {"ActivityId": "0", "StatusCode": "Failed", "StatusMessage": "long ago"}
            new = [
                {"ActivityId": str(n), "StatusCode": "Failed", "StatusMessage": "no\nroom"} for n in (1, 2)
            ]
            return {"Activities": [*(new if calls else []), old]}
        return call(self, name, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", limit)
    result = groups.provider().launch(launch_request(3), quiet)
    assert calls == [3]
    assert (len(result.instances), result.failures) == (1, ["load: no room"])
    groups.provider().stop("demo", quiet)
    assert groups.is_unchanged(0)


def test_instances_that_stay_are_reported_and_the_group_stays_tagged(groups: Groups) -> None:
    groups.make()
    groups.provider().launch(launch_request(2), quiet)
    (first, _) = groups.group()["Instances"]
    groups.client.set_instance_protection(
        AutoScalingGroupName="load", InstanceIds=[first["InstanceId"]], ProtectedFromScaleIn=True
    )
    with pytest.raises(DeployError, match="load still has 1 instance after 300 s instead of 0"):
        groups.provider().stop("demo", quiet)
    assert groups.tags()["heyfleet:fleet"] == "demo"
    groups.client.set_instance_protection(
        AutoScalingGroupName="load", InstanceIds=[first["InstanceId"]], ProtectedFromScaleIn=False
    )
    groups.provider().stop("demo", quiet)
    assert groups.is_unchanged(0)


def test_the_restored_capacity_respects_changed_limits(groups: Groups) -> None:
    groups.make()
    groups.provider().launch(launch_request(3), quiet)
    groups.client.update_auto_scaling_group(AutoScalingGroupName="load", MinSize=1)
    assert groups.provider().stop("demo", quiet)[-1].endswith("whose capacity is 1 again")
    assert groups.is_unchanged(1)


def test_lifecycle_states_are_translated(groups: Groups) -> None:
    groups.make()
    groups.provider().launch(launch_request(2), quiet)
    region = autoscaling_backends[DEFAULT_ACCOUNT_ID]["us-east-1"]
    first, second = region.autoscaling_groups["load"].instance_states
    first.lifecycle_state, second.health_status = "Terminating:Wait", "Unhealthy"
    told = {instance.id: (instance.state, instance.reason) for instance in groups.provider().list("demo")}
    assert told[first.instance.id] == (ENDED, "Terminating:Wait, Healthy")
    assert told[second.instance.id] == (RUNNING, "InService, Unhealthy")


def test_the_policy_allows_every_call(groups: Groups) -> None:
    groups.make()
    provider = groups.provider()
    del groups.aws.calls[:]
    plan = provider.plan(launch_request())
    provider.launch(launch_request(), quiet)
    list(provider.logs("demo"))
    provider.stop("demo", quiet)
    assert plan.policy is not None
    assert "autoscaling:SetDesiredCapacity" in groups.aws.calls
    for call in set(groups.aws.calls):
        assert allowed(call, plan.policy), call
    assert not allowed("ec2:TerminateInstances", plan.policy)
    lines = "\n".join(plan.lines())
    assert "3 more instances in the Auto Scaling group load in us-east-1: 3 instead of 0" in lines


def test_the_commands_of_the_guide(groups: Groups) -> None:
    """Run every command of the guide; the one that waits for agents must fail for lack of a controller."""
    groups.make(MaxSize=20)
    seen = []
    for command in filter(re.compile("--on asg").search, heyfleet_commands("docs/how-to/deploy-ec2.md")):
        words = shlex.split(command)
        if words[1] == "status":
            groups.provider().launch(launch_request(2), quiet)
        result = CliRunner().invoke(main, words)
        refused = words[1] == "up" and "--dry-run" not in words
        assert result.exit_code == (2 if refused else 0), result.output
        seen.append((words[1], result.output))
    assert [word for word, _ in seen] == ["up", "up", "status", "logs", "down", "reap"]
    assert "required permissions:" in seen[0][1]
    assert seen[2][1].count("running") == 2
    assert "removed the fleet demo from load" in seen[4][1]
    assert groups.is_unchanged(0)


def test_the_template_is_valid_and_its_groups_are_suitable() -> None:
    lint = Path(sys.executable).with_name("cfn-lint")
    template = ROOT / "deploy/ec2/autoscaling.yaml"
    run = subprocess.run([str(lint), str(template)], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, ""), run.stdout + run.stderr
    assert "heyfleet:fleet" not in template.read_text()  # or the provider ec2 would end the instances
