"""The provider ec2: agents on EC2 instances that terminate themselves.

RunInstances alone describes an instance in full, so that a launch creates nothing else that could be left behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from heyfleet.deploy.aws.client import PacedClient
from heyfleet.deploy.aws.errors import translate_errors
from heyfleet.deploy.aws.provider import AwsProvider
from heyfleet.deploy.aws.rate_limit import TokenBucket
from heyfleet.deploy.ec2 import policy
from heyfleet.deploy.ec2.bundle_store import BundleSource, BundleStore
from heyfleet.deploy.ec2.console import agent_log
from heyfleet.deploy.ec2.head_node import head_node_parameters, is_head_node, wait_for_addresses
from heyfleet.deploy.ec2.instance_parameters import DEFAULT_TYPE, instance_parameters
from heyfleet.deploy.ec2.launch_template import LaunchTemplate, read_template
from heyfleet.deploy.ec2.run_instances import InstanceLauncher
from heyfleet.deploy.ec2.user_data import render_agent, render_head_node
from heyfleet.deploy.provider import (
    ENDED,
    RUNNING,
    STARTING,
    TAG_EXPIRES,
    TAG_FLEET,
    HeadNode,
    HeadNodeRequest,
    Instance,
    Instances,
    LaunchPlan,
    LaunchRequest,
    LaunchResult,
    LaunchSpec,
    Lines,
    Log,
)
from heyfleet.deploy.settings import Setting
from heyfleet.errors import DeployError
from heyfleet.text import plural

# Debian publishes its images under this name; their Python is 3.11, for which `make bundle` makes a bundle.
_AMI_PARAMETER = "/aws/service/debian/release/12/latest/{}"
_BATCH = 200  # instances in one call of DescribeInstances or TerminateInstances
_PAGE = 1000
# https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html: filtered calls that describe have a limit each.
_RATES = (
    *(
        ((name,), 100.0, 20.0)
        for name in ("describe_instances", "describe_instance_types", "get_console_output")
    ),
    (("terminate_instances",), 100.0, 5.0),
)
_GONE_WITHIN_S = 300.0
_POLL_S = 3.0
_STATES = {"pending": STARTING, "running": RUNNING}


class Ec2Provider(AwsProvider):
    """A provider for EC2. It finds instances by their tags; an instance ends itself, because power-off terminates it."""

    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("region", "AWS region. Default: from the environment or the AWS profile.", str),
        Setting(
            "launch_template",
            "Existing launch template, as NAME_OR_ID[:VERSION]. The other settings override it.",
            str,
        ),
        Setting("type", f"Instance type. Default: {DEFAULT_TYPE}, or the launch template's.", str),
        Setting(
            "ami",
            "Image with Python 3.11 or newer. Default: Debian 12 for the type's architecture, or the launch template's.",
            str,
        ),
        Setting(
            "subnets",
            "Subnets, used in turn as zones run out of capacity. Default: the default VPC's.",
            list,
            (),
        ),
        Setting(
            "security_groups",
            "Security groups of the agents, which only dial out. Default: the VPC's default group.",
            list,
            (),
        ),
        Setting(
            "head_security_groups",
            "Security groups of --head, which admit you and the agents. Default: security_groups.",
            list,
            (),
        ),
        Setting("spot", "Use spot instances, which are cheaper and may be reclaimed.", bool, False),
        Setting("placement_group", "Existing placement group.", str),
        Setting("profile", "Instance profile. Agents need none.", str),
        Setting("key", "Key pair for ssh access.", str),
        Setting(
            "bundle",
            "Agent bundle: a file that `make bundle` made, uploaded to `bucket`, or a URL, with `sha256`.",
            str,
        ),
        Setting("sha256", "SHA-256 of the bundle at that URL.", str),
        Setting("bucket", "Bucket that holds the bundle file for the fleet's lifetime.", str),
    )
    tunnels: ClassVar[bool] = False
    service: ClassVar[str] = "ec2"

    def _connect(self) -> None:
        settings = self._settings
        self._paced_ec2 = PacedClient(self._client, _RATES, self._now, self._sleep, page_marker="NextToken")
        self._terminations = TokenBucket(1000, 20, self._now, self._sleep)  # counts instances
        self._bundles = BundleStore(
            self._session.client("s3"), settings["bucket"], settings["bundle"], settings["sha256"]
        )

    def plan(self, spec: LaunchSpec) -> LaunchPlan:
        """See Provider.plan."""
        self._bundles.check()
        settings, template = self._settings, self._template()
        data = template.data if template else {}
        instance_type = settings["type"] or data.get("InstanceType", DEFAULT_TYPE)
        spot = settings["spot"] or bool(template and template.is_spot)
        default_subnet = "the launch template's subnet or the default VPC" if template else "the default VPC"
        subnets = ", ".join(settings["subnets"]) or default_subnet
        kind = "spot" if spot else "on-demand"
        resources = [
            f"{plural(spec.agents, f'{kind} instance')} of type {instance_type} in {subnets} in "
            f"{self._client.meta.region_name}, tagged {TAG_FLEET}={spec.fleet}"
        ]
        if template:
            resources[0] += f", from version {template.version} of the launch template {template.id}"
        if "://" not in settings["bundle"]:
            resources.append(f"an object below heyfleet/{spec.fleet}/ in the bucket {settings['bucket']}")
        usd_per_hour, source = policy.price(self._session, instance_type, spot=spot)
        return LaunchPlan(
            resources=resources,
            network=[f"instances must reach {spec.join} by TCP, the bundle by HTTPS, and the target"],
            policy=policy.instances_policy(
                bucket=settings["bucket"],
                with_profile=bool(settings["profile"] or data.get("IamInstanceProfile")),
                with_template=bool(template),
            ),
            usd_per_hour=None if usd_per_hour is None else usd_per_hour * spec.agents,
            price_source=source,
            notes=[
                f"each instance powers itself off {-(-spec.lifetime_s // 60)} minutes after boot, which terminates it",
                "the user-data contains the join token, which anyone who may describe these instances can read; it is"
                " valid for this fleet's agents only, and for a short time",
            ],
        )

    def launch(self, request: LaunchRequest, log: Log) -> LaunchResult:
        """See Provider.launch."""
        launcher = self._start(
            request.fleet,
            request.lifetime_s,
            request.agents,
            lambda bundle: render_agent(request, bundle),
            log,
        )
        if not launcher.started and launcher.failures:
            self._remove_objects(request.fleet)
        instances = [self._instance(each, request.fleet) for each in launcher.started]
        return LaunchResult(instances=instances, failures=launcher.failures)

    def launch_head_node(self, request: HeadNodeRequest, log: Log) -> HeadNode:
        """See HeadNodeProvider.launch_head_node."""
        launcher = self._start(
            request.fleet,
            request.lifetime_s,
            1,
            lambda bundle: render_head_node(request, bundle),
            log,
            head_node=True,
        )
        if not launcher.started:
            raise DeployError(f"the head node was not started: {launcher.failures[-1]}")
        instance_id = launcher.started[0]["InstanceId"]
        return wait_for_addresses(self._paced_ec2, instance_id, request.port, log, self._sleep)

    def _start(
        self,
        fleet: str,
        lifetime_s: int,
        count: int,
        render: Callable[[BundleSource], str],
        log: Log,
        *,
        head_node: bool = False,
    ) -> InstanceLauncher:
        """Start `count` instances whose user-data `render` returns."""
        self._bundles.check()
        expires_s = int(time.time()) + lifetime_s
        template = self._template()
        with translate_errors():
            log("preparing the bundle")
            user_data = render(self._bundles.offer(fleet, expires_s))
            parameters = instance_parameters(
                self._settings,
                tags={TAG_FLEET: fleet, TAG_EXPIRES: str(expires_s), "Name": f"heyfleet {fleet}"},
                user_data=user_data,
                template=template,
                find_image=self._find_image,
            )
            if head_node:
                security_groups = list(self._settings["head_security_groups"])
                parameters = head_node_parameters(
                    parameters, security_groups, template_is_spot=bool(template and template.is_spot)
                )
            launcher = InstanceLauncher(self._client, log, self._now, self._sleep)
            launcher.launch(count, parameters, list(self._settings["subnets"]))
        return launcher

    def _template(self) -> LaunchTemplate | None:
        """Return the launch template that the settings name, if any. Raises DeployError if it does not suit."""
        if not self._settings["launch_template"]:
            return None
        template = read_template(self._session.client("ec2"), self._settings["launch_template"])
        template.check(self._settings)
        return template

    def _find_image(self, instance_type: str) -> str:
        """Return the default image for the type's architecture."""
        types = self._paced_ec2.call("describe_instance_types", InstanceTypes=[instance_type])[
            "InstanceTypes"
        ]
        architectures = types[0]["ProcessorInfo"]["SupportedArchitectures"]
        name = _AMI_PARAMETER.format("arm64" if "arm64" in architectures else "amd64")
        return str(self._session.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])

    def list(self, fleet: str = "") -> Instances:
        """See Provider.list. AWS lists terminated instances for about an hour."""
        return [self._instance(each, fleet) for each in self._describe(fleet)]

    def _describe(self, fleet: str) -> Iterable[dict[str, Any]]:
        tag_filter = (
            {"Name": f"tag:{TAG_FLEET}", "Values": [fleet]}
            if fleet
            else {"Name": "tag-key", "Values": [TAG_FLEET]}
        )
        with translate_errors():
            for page in self._paced_ec2.pages("describe_instances", Filters=[tag_filter], MaxResults=_PAGE):
                for reservation in page["Reservations"]:
                    yield from reservation["Instances"]

    @staticmethod
    def _instance(description: dict[str, Any], fleet: str) -> Instance:
        tags = {tag["Key"]: tag["Value"] for tag in description.get("Tags", ())}
        expires = tags.get(TAG_EXPIRES, "")
        reason = description.get("StateReason", {}).get("Message", "")
        return Instance(
            fleet=tags.get(TAG_FLEET, fleet),
            id=description["InstanceId"],
            name=description["InstanceId"],
            state=_STATES.get(description["State"]["Name"], ENDED),
            reason=reason or description.get("StateTransitionReason", ""),
            expires_s=float(expires) if expires.isdecimal() else 0.0,
            is_head_node=is_head_node(tags),
        )

    def logs(self, fleet: str) -> Iterable[tuple[str, str]]:
        """See Provider.logs. EC2 updates consoles minutes late, and keeps those of terminated instances for a while."""
        for description in self._describe(fleet):
            instance_id = description["InstanceId"]
            with translate_errors():
                output = self._paced_ec2.call("get_console_output", InstanceId=instance_id)
            yield instance_id, agent_log(output)

    def stop(self, fleet: str, log: Log) -> Lines:
        """See Provider.stop."""
        return self._terminate(list(self._describe(fleet)), log) + self._remove_objects(fleet)

    def reap(self, log: Log, *, everything: bool = False) -> Lines:
        """See Provider.reap."""
        now_s = time.time()
        expired = [
            each for each in self._describe("") if everything or self._instance(each, "").expires_s <= now_s
        ]
        return self._terminate(expired, log) + self._remove_objects("", None if everything else now_s)

    def _terminate(self, descriptions: Iterable[dict[str, Any]], log: Log) -> Lines:
        """End instances, and wait until they are gone."""
        ids = [each["InstanceId"] for each in descriptions if each["State"]["Name"] != "terminated"]
        with translate_errors():
            for start in range(0, len(ids), _BATCH):
                batch = ids[start : start + _BATCH]
                self._terminations.take(len(batch))
                self._paced_ec2.call("terminate_instances", InstanceIds=batch)
            left, waited_s = ids, 0.0
            while left and (left := self._not_terminated(left)):
                if waited_s >= _GONE_WITHIN_S:
                    raise DeployError(
                        f"{', '.join(left[:5])}: still there {_GONE_WITHIN_S:g} s after their termination"
                    )
                log(f"waiting for {plural(len(left), 'instance')} to terminate")
                self._sleep(_POLL_S)
                waited_s += _POLL_S
        return [f"instance {each}" for each in ids]

    def _not_terminated(self, ids: Lines) -> Lines:
        left = []
        for start in range(0, len(ids), _BATCH):
            filters = [{"Name": "instance-id", "Values": ids[start : start + _BATCH]}]
            for page in self._paced_ec2.pages("describe_instances", Filters=filters):
                left += [
                    each["InstanceId"]
                    for reservation in page["Reservations"]
                    for each in reservation["Instances"]
                    if each["State"]["Name"] != "terminated"
                ]
        return left

    def _remove_objects(self, fleet: str, expired_by_s: float | None = None) -> Lines:
        """Remove the bundles of a fleet ("" for all); with a time, only of fleets that have expired by then."""
        removed = []
        with translate_errors():
            for each in self._bundles.objects():
                if fleet in ("", each.fleet) and (expired_by_s is None or each.expires_s <= expired_by_s):
                    self._bundles.remove(each.key)
                    removed.append(f"object {each.key}")
        return removed
