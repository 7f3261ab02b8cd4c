"""Agents on EC2 instances that end themselves: RunInstances says everything, so that there is nothing else to leave behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import boto3
from botocore.config import Config

from heyfleet.deploy.aws.client import Paced
from heyfleet.deploy.aws.errors import explained
from heyfleet.deploy.aws.rate_limit import Bucket
from heyfleet.deploy.ec2 import console, policy
from heyfleet.deploy.ec2.bundle_store import BundleStore
from heyfleet.deploy.ec2.head_node import addressed, as_head, is_head
from heyfleet.deploy.ec2.launch_template import ONE_TIME, LaunchTemplate, read
from heyfleet.deploy.ec2.run_instances import InstanceLauncher
from heyfleet.deploy.ec2.user_data import render, render_head
from heyfleet.deploy.provider import (
    ENDED,
    RUNNING,
    STARTING,
    TAG_EXPIRES,
    TAG_FLEET,
    DeployError,
    HeadNode,
    Instance,
    Instances,
    LaunchPlan,
    LaunchRequest,
    LaunchResult,
    Lines,
    Say,
)
from heyfleet.deploy.settings import Setting

# Debian publishes its images under these; its Python is 3.11, for which `make bundle` makes a bundle.
_AMI_PARAMETER = "/aws/service/debian/release/12/latest/{}"
_TYPE = "c7i.large"
_AT_ONCE = 200  # instances in one call that describes or ends them
_A_PAGE = 1000
# https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html: with filters, each call that describes has its own
_RATES = (
    *(
        ((name,), 100.0, 20.0)
        for name in ("describe_instances", "describe_instance_types", "get_console_output")
    ),
    (("terminate_instances",), 100.0, 5.0),
)
_GONE_WITHIN_S = 300.0
_LOOK_EVERY_S = 3.0
_STATES = {"pending": STARTING, "running": RUNNING}


class Ec2Provider:
    """See engine.Engine. An instance is found by its tags, and ends by itself: power-off terminates it."""

    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("region", "Default: the environment's, or the profile's.", str),
        Setting("launch_template", "NAME_OR_ID[:VERSION]; what is given beside it is said over it.", str),
        Setting("type", f"Of the instances. Default: {_TYPE}, or the launch template's.", str),
        Setting(
            "ami",
            "With Python 3.11 or newer. Default: Debian 12 of the type's architecture, or the launch template's.",
            str,
        ),
        Setting("subnets", "In turn, when one's zone has no more. Default: the default VPC's.", list, ()),
        Setting("security_groups", "Agents only dial out. Default: the VPC's default group.", list, ()),
        Setting(
            "head_security_groups",
            "Of --head: its port is open to you and to the agents. Default: security_groups.",
            list,
            (),
        ),
        Setting("spot", "Spot instances: cheaper, and may be taken back.", bool, False),
        Setting("placement_group", "One that is there.", str),
        Setting("profile", "Instance profile; agents need none.", str),
        Setting("key", "Key pair, to look in by ssh.", str),
        Setting("bundle", "A file that `make bundle` made, put into `bucket`; or a URL, with `sha256`.", str),
        Setting("sha256", "Of the bundle at that URL.", str),
        Setting("bucket", "Where the file is put, for as long as the fleet.", str),
    )
    tunnels: ClassVar[bool] = False

    def __init__(
        self,
        settings: dict[str, Any],
        sleep: Callable[[float], None] = time.sleep,
        make_session: Callable[..., Any] = boto3.session.Session,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._now, self._sleep = now, sleep
        # What is asked for again, and when, is ours to say: see launching.py and aws_paced.py.
        config = Config(retries={"mode": "standard", "total_max_attempts": 3})
        alone = Config(retries={"mode": "standard", "total_max_attempts": 1})
        with explained():
            session = make_session(region_name=settings["region"] or None)
            self._session, self._config = session, config
            self._ec2 = session.client("ec2", config=alone)
            self._bundles = BundleStore(
                session.client("s3", config=config),
                settings["bucket"],
                settings["bundle"],
                settings["sha256"],
            )
        self._calls = Paced(self._ec2, _RATES, now, sleep, marker="NextToken")
        self._ends = Bucket(1000, 20, now, sleep)  # of instances, by TerminateInstances

    def plan(self, order: LaunchRequest) -> LaunchPlan:
        """See engine.Engine."""
        self._bundles.check()
        settings, template = self._settings, self._template()
        data = template.data if template else {}
        type_ = settings["type"] or data.get("InstanceType", _TYPE)
        spot = settings["spot"] or bool(template and template.spot)
        anywhere = "the launch template's subnet or the default VPC" if template else "the default VPC"
        where = ", ".join(settings["subnets"]) or anywhere
        makes = [
            f"{order.agents} {'spot' if spot else 'on-demand'} instances {type_} in {where} of "
            f"{self._ec2.meta.region_name}, tagged {TAG_FLEET}={order.fleet}"
        ]
        if template:
            makes[0] += f", by version {template.version} of the launch template {template.id}"
        if "://" not in settings["bundle"]:
            makes.append(f"an object below heyfleet/{order.fleet}/ in the bucket {settings['bucket']}")
        price, source = policy.price(self._session, self._config, type_, spot=spot)
        return LaunchPlan(
            makes=makes,
            ports=[f"instances must reach {order.join} by TCP, the bundle by HTTPS, and the target"],
            policy=policy.document(
                bucket=settings["bucket"],
                with_profile=bool(settings["profile"] or data.get("IamInstanceProfile")),
                with_template=bool(template),
            ),
            usd_an_hour=None if price is None else price * order.agents,
            price_source=source,
            notes=[
                f"each instance powers itself off {-(-order.lifetime_s // 60)} minutes after its boot, which terminates it",
                "the join token is in the user-data, which whoever may describe these instances can read: it is good for"
                " this fleet's agents and for a short time only",
            ],
        )

    def launch(self, order: LaunchRequest, say: Say) -> LaunchResult:
        """See engine.Engine."""
        launching = self._start(order, order.agents, lambda url, sha256: render(order, url, sha256), say)
        if not launching.started and launching.failures:
            self._remove_objects(order.fleet)
        return LaunchResult(
            units=[self._unit(each, order.fleet) for each in launching.started], failures=launching.failures
        )

    def head(self, order: LaunchRequest, files: Mapping[str, bytes], port: int, say: Say) -> HeadNode:
        """See engine.Heads."""
        launching = self._start(
            order, 1, lambda url, sha256: render_head(order, files, port, url, sha256), say, head=True
        )
        if not launching.started:
            raise DeployError(f"the head: {launching.failures[-1]}")
        return addressed(self._calls, launching.started[0]["InstanceId"], port, say, self._sleep)

    def _start(
        self,
        order: LaunchRequest,
        count: int,
        script: Callable[[str, str], str],
        say: Say,
        *,
        head: bool = False,
    ) -> InstanceLauncher:
        """So many instances; `script` makes their user-data of the bundle's URL and SHA-256."""
        self._bundles.check()
        expires_s = int(time.time()) + order.lifetime_s
        template = self._template()
        with explained():
            say("offering the bundle")
            request = self._request(
                order, expires_s, script(*self._bundles.offer(order.fleet, expires_s)), template
            )
            if head:
                groups = list(self._settings["head_security_groups"])
                request = as_head(request, groups, spot=bool(template and template.spot))
            launching = InstanceLauncher(self._ec2, say, self._now, self._sleep)
            launching.launch(count, request, list(self._settings["subnets"]))
        return launching

    def _template(self) -> LaunchTemplate | None:
        """The launch template that the settings name, if it serves."""
        if not self._settings["launch_template"]:
            return None
        template = read(self._session.client("ec2", config=self._config), self._settings["launch_template"])
        template.check(self._settings)
        return template

    def _request(
        self, order: LaunchRequest, expires_s: int, user_data: str, template: LaunchTemplate | None
    ) -> dict[str, Any]:
        settings = self._settings
        tags = [
            {"Key": TAG_FLEET, "Value": order.fleet},
            {"Key": TAG_EXPIRES, "Value": str(expires_s)},
            {"Key": "Name", "Value": f"heyfleet {order.fleet}"},
        ]
        request: dict[str, Any] = {
            **(template.request() if template else {}),
            "InstanceInitiatedShutdownBehavior": "terminate",
            "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
            "TagSpecifications": [
                {"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume", "network-interface")
            ],
            "UserData": user_data,
        }
        type_ = settings["type"] or ("" if template else _TYPE)
        if type_:
            request["InstanceType"] = type_
        if settings["ami"] or not template:
            request["ImageId"] = settings["ami"] or self._image(type_)
        if settings["security_groups"]:
            request["SecurityGroupIds"] = list(settings["security_groups"])
        if settings["spot"] and not (template and template.spot):
            request["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": ONE_TIME}
        if settings["placement_group"]:
            request["Placement"] = {"GroupName": settings["placement_group"]}
        if settings["profile"]:
            request["IamInstanceProfile"] = {"Name": settings["profile"]}
        if settings["key"]:
            request["KeyName"] = settings["key"]
        return request

    def _image(self, type_: str) -> str:
        types = self._calls.call("describe_instance_types", InstanceTypes=[type_])["InstanceTypes"]
        machines = types[0]["ProcessorInfo"]["SupportedArchitectures"]
        name = _AMI_PARAMETER.format("arm64" if "arm64" in machines else "amd64")
        ssm = self._session.client("ssm", config=self._config)
        return str(ssm.get_parameter(Name=name)["Parameter"]["Value"])

    def list(self, fleet: str = "") -> Instances:
        """See engine.Engine. AWS goes on to know terminated instances for about an hour."""
        return [self._unit(each, fleet) for each in self._instances(fleet)]

    def _instances(self, fleet: str) -> Iterable[dict[str, Any]]:
        wanted = (
            {"Name": f"tag:{TAG_FLEET}", "Values": [fleet]}
            if fleet
            else {"Name": "tag-key", "Values": [TAG_FLEET]}
        )
        with explained():
            pages = self._calls.pages("describe_instances", Filters=[wanted], MaxResults=_A_PAGE)
            yield from (each for page in pages for held in page["Reservations"] for each in held["Instances"])

    @staticmethod
    def _unit(instance: dict[str, Any], fleet: str) -> Instance:
        tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", ())}
        expires = tags.get(TAG_EXPIRES, "")
        reason = instance.get("StateReason", {}).get("Message", "") or instance.get(
            "StateTransitionReason", ""
        )
        return Instance(
            fleet=tags.get(TAG_FLEET, fleet),
            id=instance["InstanceId"],
            name=instance["InstanceId"],
            state=_STATES.get(instance["State"]["Name"], ENDED),
            reason=reason,
            expires_s=float(expires) if expires.isdecimal() else 0.0,
            agent=not is_head(tags),
        )

    def logs(self, fleet: str) -> Iterable[tuple[str, str]]:
        """See engine.Engine. EC2 shows a console some minutes late, and that of a terminated instance for a while."""
        for instance in self._instances(fleet):
            with explained():
                said = self._calls.call("get_console_output", InstanceId=instance["InstanceId"])
            yield instance["InstanceId"], console.ours(said)

    def stop(self, fleet: str, say: Say) -> Lines:
        """See engine.Engine."""
        return self._end(list(self._instances(fleet)), say) + self._remove_objects(fleet)

    def reap(self, say: Say, *, everything: bool = False) -> Lines:
        """See engine.Engine."""
        now_s = time.time()
        over = [each for each in self._instances("") if everything or self._unit(each, "").expires_s <= now_s]
        return self._end(over, say) + self._remove_objects("", None if everything else now_s)

    def _end(self, instances: Iterable[dict[str, Any]], say: Say) -> Lines:
        found = [each for each in instances if each["State"]["Name"] != "terminated"]
        ids = [each["InstanceId"] for each in found]
        with explained():
            for start in range(0, len(ids), _AT_ONCE):
                some = ids[start : start + _AT_ONCE]
                self._ends.take(len(some))
                self._calls.call("terminate_instances", InstanceIds=some)
            left, waited_s = ids, 0.0
            while left and (left := self._there(left)):
                if waited_s >= _GONE_WITHIN_S:
                    raise DeployError(
                        f"{', '.join(left[:5])}: asked to end, and still there after {_GONE_WITHIN_S:g} s"
                    )
                say(f"waiting until {len(left)} instances are gone")
                self._sleep(_LOOK_EVERY_S)
                waited_s += _LOOK_EVERY_S
        return [f"instance {each}" for each in ids]

    def _there(self, ids: Lines) -> Lines:
        """Those that are not terminated yet."""
        found = []
        for start in range(0, len(ids), _AT_ONCE):
            wanted = [{"Name": "instance-id", "Values": ids[start : start + _AT_ONCE]}]
            for page in self._calls.pages("describe_instances", Filters=wanted):
                found += [
                    each["InstanceId"]
                    for held in page["Reservations"]
                    for each in held["Instances"]
                    if each["State"]["Name"] != "terminated"
                ]
        return found

    def _remove_objects(self, fleet: str, before_s: float | None = None) -> Lines:
        """The bundles of a fleet, or of all; with an instant, of those whose end it has passed."""
        removed = []
        with explained():
            for key, of, expires_s in self._bundles.objects():
                if fleet in ("", of) and (before_s is None or expires_s <= before_s):
                    self._bundles.remove(key)
                    removed.append(f"object {key}")
        return removed

    def close(self) -> None:
        """See engine.Engine. Nothing lives here alone."""
