"""An AWS account for tests: moto's, in this process. It checks no permissions, and its instances never boot."""

from __future__ import annotations

import fnmatch
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import botocore.client
import botocore.session
import pytest
from botocore.config import Config
from botocore.loaders import create_loader
from botocore.stub import Stubber
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends

from heyfleet.deploy.ec2.provider import Ec2Provider
from heyfleet.deploy.provider import LaunchRequest
from heyfleet.deploy.settings import read

from ..clock import Clock

BUCKET = "bundles"
_LOADER = create_loader()


class Killed(BaseException):
    """The deployer's process ends here."""


class Session(boto3.Session):  # type: ignore[misc]
    """One that makes each client once, and reads what AWS can do once for all tests: that takes boto a quarter of a second."""

    def __init__(self) -> None:
        session = botocore.session.get_session()
        session.register_component("data_loader", _LOADER)
        super().__init__(botocore_session=session)
        self._made: dict[str, Any] = {}

    def client(self, service_name: str, *_: Any, config: Any = None, **more: Any) -> Any:
        attempts = config.retries["total_max_attempts"] if config else 0
        key = f"{service_name} {attempts} {more}"
        if key not in self._made:
            self._made[key] = super().client(service_name, config=config, **more)
        return self._made[key]


class Account:
    """What is there, and a hand on every call."""

    def __init__(self, folder: Path) -> None:
        self._session = Session()
        self.ec2 = self._session.client("ec2")
        self.s3 = self._session.client("s3")
        self.s3.create_bucket(Bucket=BUCKET)
        self.ami = self.ec2.register_image(Name="Debian", Architecture="x86_64")["ImageId"]
        self.bundle = folder / "heyfleet-agent-0-python3.11-x86_64.tar.gz"
        self.bundle.write_bytes(b"a bundle")
        self.calls: list[str] = []
        self.requests: list[tuple[str, dict[str, Any]]] = []  # the name and arguments of each call
        self.kill_at = 0  # the n-th call from now on
        self.after = False  # it takes effect, but its answer is lost

    def provider(self, clock: Clock | None = None, /, **given: object) -> Ec2Provider:
        """A fresh one, as of another process."""
        settings = {
            "bundle": str(self.bundle),
            "bucket": BUCKET,
            "ami": self.ami,
            "type": "t3.micro",
            **given,
        }
        return Ec2Provider(
            read("ec2", Ec2Provider.settings, settings),
            now=clock.now if clock else time.monotonic,
            sleep=clock.sleep if clock else lambda seconds: None,
            make_session=lambda **more: self._session if not more["region_name"] else boto3.Session(**more),
        )

    def stubbed(self, service: str, attempts: int = 0, **more: Any) -> Stubber:
        """Answers for the provider's client of a service, in AWS's own shapes, which it checks as it does the questions."""
        attempts = attempts or (1 if service == "ec2" else 3)
        config = Config(retries={"mode": "standard", "total_max_attempts": attempts})
        return Stubber(self._session.client(service, config=config, **more))

    def forget_the_dead(self) -> None:
        """What AWS does after an hour. moto keeps terminated instances, and every call looks through all of them."""
        for region in ec2_backends[DEFAULT_ACCOUNT_ID].values():
            for name, held in list(region.reservations.items()):
                if all(each.state == "terminated" for each in held.instances):
                    del region.reservations[name]

    def left(self) -> list[str]:
        """What costs money."""
        held = self.ec2.describe_instances()["Reservations"]
        instances = [each for each in held for each in each["Instances"]]
        alive = [each["InstanceId"] for each in instances if each["State"]["Name"] != "terminated"]
        return alive + [each["Key"] for each in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())]


def launch_request(agents: int = 3, fleet: str = "demo", lifetime_s: int = 600) -> LaunchRequest:
    return LaunchRequest(
        fleet=fleet,
        agents=agents,
        join="boss:7700",
        ca_pem=b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        token=b"heyfleet-token-1\nsecret\n",
        lifetime_s=lifetime_s,
    )


def quiet(_: str) -> None:
    pass


@contextmanager
def account(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # hundreds, each time
    with mock_aws():
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        made = Account(folder)
        call = botocore.client.BaseClient._make_api_call

        def counted(self: Any, name: str, arguments: Any) -> Any:
            made.calls.append(f"{self.meta.service_model.service_name}:{name}")
            made.requests.append((name, dict(arguments)))
            made.kill_at -= 1
            if made.kill_at == 0 and not made.after:
                raise Killed
            answer = call(self, name, arguments)
            if made.kill_at == 0:
                raise Killed
            return answer

        monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", counted)
        yield made


def allowed(action: str, policy: dict[str, Any]) -> bool:
    """Whether a policy has an action."""
    return any(
        fnmatch.fnmatchcase(action, pattern)
        for statement in policy["Statement"]
        for pattern in statement["Action"]
    )


def listed(usagetype: str, usd: str, service: str = "AmazonECS", **attributes: str) -> str:
    """A product as the price list has it."""
    sku, term, rate = "PBZNQUSEXZUC34C9", "JRTCKXETXF", "6YS6EN2CT7"
    dimension = {
        "instance": "hours",
        "endRange": "Inf",
        "description": f"{usagetype} in US East (N. Virginia)",
        "appliesTo": [],
        "rateCode": f"{sku}.{term}.{rate}",
        "beginRange": "0",
        "pricePerUnit": {"USD": usd},
    }
    offer = {
        "priceDimensions": {dimension["rateCode"]: dimension},
        "sku": sku,
        "effectiveDate": "2026-11-01T00:00:00Z",
        "offerTermCode": term,
        "termAttributes": {},
    }
    known = {
        "regionCode": "us-east-1",
        "servicecode": service,
        "usagetype": usagetype,
        "locationType": "AWS Region",
        "location": "US East (N. Virginia)",
        "operation": "",
        **attributes,
    }
    product = {
        "product": {"productFamily": "Compute", "attributes": known, "sku": sku},
        "serviceCode": service,
        "terms": {"OnDemand": {f"{sku}.{term}": offer}},
        "version": "20261121182130",
        "publicationDate": "2026-11-21T18:21:30Z",
    }
    return json.dumps(product)
