"""What stands for EC2: moto's API as a server, and for each of its instances a host that boots with cloud-init.

moto knows instances as rows. Whoever watches them here does what EC2 does with them: gives each an address, a console and a
metadata service, boots it, powers it off when it is told to end, and says that it ended when it powered itself off.
No permissions, no quotas, no other kernel: never EC2.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import io
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import StateReason
from moto.ec2.responses.general import General
from moto.ssm.models import Parameter, ssm_backends

from .hosts import Hosts, ip
from .machines import Machine, base_of_machines
from .moto_server import REGION, moto_server

BUCKET = "my-bucket"
PUBLIC = "203.0.113.0/24"
_LOOK_EVERY_S = 0.2
_OFF_WITHIN_S = 15.0  # then its plug is pulled
_PLACES = range(1, 200)
_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopped": 80}
_CLOUD = """
datasource_list: [Ec2]
datasource: {Ec2: {metadata_urls: ["http://169.254.169.254"], strict_id: false, max_wait: 30, timeout: 5}}
network: {config: disabled}
ssh_genkeytypes: [ed25519]
locale: false
"""


def public_address(number: int) -> str:
    """Of an instance; whoever has a route to PUBLIC by the bridge reaches it."""
    return f"{PUBLIC.rpartition('.')[0]}.{number}"


class Host:
    """One instance's: a namespace, a metadata service in it, and a machine."""

    def __init__(self, network: Hosts, number: int, folder: Path, base: Path, instance: Any) -> None:
        self.number = number
        self.folder = folder / instance.id
        self.told_to_end_at = 0.0
        self._network = network
        address = network.address(number)
        name = f"ip-{address.replace('.', '-')}"
        self.machine = Machine(network, number, self.folder, base, name)
        network.add(number)
        self._put("user-data", base64.b64decode(str(instance.user_data or "")).decode())
        facts = {"instance-id": instance.id, "local-ipv4": address, "local-hostname": f"{name}.ec2.internal"}
        facts |= {"instance-type": instance.instance_type, "ami-id": instance.image_id}
        for key, text in facts.items():
            self._put(f"meta-data/{key}", text)
        document = {"instanceId": instance.id, "region": REGION, "privateIp": address}
        self._put("dynamic/instance-identity/document", json.dumps(document))
        for more in ("169.254.169.254", public_address(number)):
            ip("-n", network.space(number), "addr", "add", f"{more}/32", "dev", "lo")
        double = [sys.executable, str(Path(__file__).with_name("metadata.py")), str(self.folder / "imds")]
        self._metadata = subprocess.Popen([*network.enter(number), *double])

    def _put(self, path: str, text: str) -> None:
        file = self.folder / "imds" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def boot(self, names: str, routes: Iterable[tuple[str, str]]) -> None:
        """Start the machine, which knows these names and routes, and nothing else of the world."""
        for to, via in routes:
            ip("-n", self._network.space(self.number), "route", "add", to, "via", via)
        self.machine.prepare()
        self.machine.write("etc/hosts", f"127.0.0.1 localhost {self.machine.name}\n{names}")
        self.machine.write("etc/cloud/cloud.cfg.d/99_double.cfg", _CLOUD)
        self.machine.boot("read-only")

    def notice(self) -> None:
        """Tell it that it is taken back, as EC2 does with spot instances."""
        self._put("meta-data/spot/instance-action", '{"action": "terminate", "time": "2026-01-01T00:00:00Z"}')

    def remove(self) -> None:
        """What it had here; its console stays."""
        self.machine.remove()
        shutil.rmtree(self.machine.root.with_name("upper"), ignore_errors=True)
        self._metadata.terminate()
        self._metadata.wait()
        self._network.drop(self.number)


class Ec2:
    """The account's instances, each booted once."""

    def __init__(self, network: Hosts, folder: Path, base: Path) -> None:
        self.network = network
        self.names = ""
        """What instances have in /etc/hosts, in place of a DNS server."""
        self.routes: list[tuple[str, str]] = []
        """What instances reach by whom, beside their own network."""
        self.on_call: Callable[[bool], bool] = lambda done: True
        """Told of every call of the API before it takes effect and after; False: the call, or its answer, is lost."""
        self._folder = folder
        self._base = base
        self._backend: Any = ec2_backends[DEFAULT_ACCOUNT_ID][REGION]
        self._hosts: dict[str, Host] = {}
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look)

    def start(self) -> None:
        """Begin to look for instances."""
        self._watch.start()

    def stop(self) -> None:
        """Leave nothing running."""
        self._over.set()
        self._watch.join()
        for host in self._hosts.values():
            host.machine.power_off()
        for host in self._hosts.values():
            host.remove()

    @property
    def running(self) -> list[str]:
        """Instances whose host is there."""
        return list(self._hosts)

    def left(self) -> list[str]:
        """All that there is: by the API, and of hosts."""
        ec2, s3 = boto3.client("ec2"), boto3.client("s3")
        held = [each for one in ec2.describe_instances()["Reservations"] for each in one["Instances"]]
        alive = [each["InstanceId"] for each in held if each["State"]["Name"] != "terminated"]
        objects = [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET).get("Contents", ())]
        volumes = [each["VolumeId"] for each in ec2.describe_volumes()["Volumes"]]
        return [*alive, *objects, *volumes, *self.running]

    def console(self, instance_id: str) -> str:
        """What an instance printed, also when it is gone."""
        found = list(self._folder.glob(f"{instance_id}/*/console"))
        return found[0].read_text(errors="replace") if found else ""

    def notice(self, instance_id: str) -> None:
        """Tell a spot instance that it is taken back."""
        self._hosts[instance_id].notice()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_EVERY_S):
            for reservation in list(self._backend.reservations.values()):
                for instance in list(reservation.instances):
                    self._see_to(instance, self._hosts.get(instance.id))

    def _see_to(self, instance: Any, host: Host | None) -> None:
        state = instance.state
        if host is None:
            if state == "pending":
                self._boot(instance)
            elif state == "shutting-down":
                instance.terminate()
        elif not host.machine.running:
            host.remove()
            del self._hosts[instance.id]
            self._off(instance)
        elif state == "shutting-down" and not host.told_to_end_at:
            host.told_to_end_at = time.monotonic()
            host.machine.power_off()
        elif host.told_to_end_at and time.monotonic() - host.told_to_end_at > _OFF_WITHIN_S:
            host.machine.kill()

    def _boot(self, instance: Any) -> None:
        taken = {host.number for host in self._hosts.values()}
        number = next(each for each in _PLACES if each not in taken)
        # moto's addresses are of networks that are not there.
        instance.nics[0].private_ip_address = self.network.address(number)
        instance.nics[0].public_ip = public_address(number)
        host = Host(self.network, number, self._folder, self._base, instance)
        self._hosts[instance.id] = host
        host.boot(self.names, self.routes)
        if instance.state == "pending":  # it may have been told to end meanwhile
            set_state(instance, "running")

    @staticmethod
    def _off(instance: Any) -> None:
        if instance.state == "shutting-down":
            instance.terminate()
        elif instance.instance_initiated_shutdown_behavior != "terminate":
            set_state(instance, "stopped")
        else:
            instance.terminate()
            code = "Client.InstanceInitiatedShutdown"
            instance.state_reason = StateReason(f"{code}: Instance initiated shutdown", code)

    def as_ec2_does(self, undo: contextlib.ExitStack) -> None:
        """moto has instances run and end at once, without a console; here they do as their host does."""
        backend, run = self._backend, self._backend.run_instances

        def run_instances(*words: Any, **more: Any) -> Any:
            made = run(*words, **more)
            for instance in made.instances:
                set_state(instance, "pending")
            return made

        def terminate_instances(instance_ids: list[str]) -> Any:
            found = [
                (each, copy.copy(each._state)) for each in backend.get_multi_instances_by_id(instance_ids)
            ]
            for instance, before in found:
                if before.name != "terminated":
                    set_state(instance, "shutting-down")
            return found

        def get_console_output(asked: Any) -> Any:
            instance_id = asked._get_param("InstanceId")
            text = base64.b64encode(self.console(instance_id).encode()).decode()
            return ActionResult({"InstanceId": instance_id, "Output": text})

        backend.run_instances, backend.terminate_instances = run_instances, terminate_instances
        undo.callback(delattr, backend, "run_instances")
        undo.callback(delattr, backend, "terminate_instances")
        answers: Any = General
        undo.callback(setattr, answers, "get_console_output", answers.get_console_output)
        answers.get_console_output = get_console_output

    def hears_calls(self, app: Any) -> Any:
        """moto's application, with `on_call` around what the deployer asks; hosts, which have no credentials, are not heard."""

        def heard(environ: dict[str, Any], respond: Any) -> Iterable[bytes]:
            if "HTTP_AUTHORIZATION" not in environ:
                return list(app(environ, respond))
            if not self.on_call(False):
                respond("503 Service Unavailable", [])
                return []
            _as_many_as_there_may_be(environ)
            answer = list(app(environ, respond))
            return answer if self.on_call(True) else []

        return heard


def _as_many_as_there_may_be(environ: dict[str, Any]) -> None:
    """Where moto would give the least that RunInstances asks for, EC2 with its room gives the most."""
    if not environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    if most := re.search(rb"\bMaxCount=(\d+)", body):
        body = re.sub(rb"\bMinCount=\d+", b"MinCount=" + most[1], body)
    environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}


def set_state(instance: Any, name: str) -> None:
    instance._state.name, instance._state.code = name, _CODES[name]


def _image() -> None:
    """Debian's image, under the name by which the provider asks for it; the API lets nobody write that one."""
    image = boto3.client("ec2").register_image(Name="Debian 12", Architecture="x86_64")["ImageId"]
    name = "/aws/service/debian/release/12/latest/amd64"
    kind: Any = Parameter
    made = kind(DEFAULT_ACCOUNT_ID, name, image, "String", None, None, None, utcnow(), 1, "text")
    ssm_backends[DEFAULT_ACCOUNT_ID][REGION]._parameters[name].append(made)


@contextmanager
def ec2_double() -> Iterator[tuple[Ec2, dict[str, str]]]:
    """The double on a network of its own, and the environment in which the AWS client finds it."""
    base = base_of_machines("cloud-init")
    with contextlib.ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="heyfleet-machines-")))
        network = Hosts(0)
        undo.callback(network.remove)
        network.make()
        server, environment = undo.enter_context(moto_server(network.here))
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        _image()
        made = Ec2(network, folder, base)
        made.as_ec2_does(undo)
        server.app = made.hears_calls(server.app)
        made.start()
        undo.callback(made.stop)
        yield made, environment
