"""The ECS provider with the real boto3, on moto's idea of an account, whose tasks are only rows: nothing runs."""

from __future__ import annotations

import json
import random
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.client
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from click.testing import CliRunner
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ecs.models import ecs_backends

from heyfleet.cli.main import main
from heyfleet.deploy.ecs import inventory
from heyfleet.deploy.ecs.provider import EcsProvider
from heyfleet.deploy.ecs.task import TaskSettings, task_definition
from heyfleet.deploy.settings import SettingError, read
from heyfleet.errors import DeployError
from tests.pages import heyfleet_commands

from ..clock import Clock
from ..ec2.account import Killed, Session, allowed, launch_request, quiet
from ..kills import KILLS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
ROOT = Path(__file__).parents[4]
COMMANDS = [line for line in heyfleet_commands("docs/how-to/deploy-ecs.md") if "--on ecs" in line]


class Account:
    """What is there, and a hand on every call."""

    def __init__(self) -> None:
        self._session = Session()
        self.ecs = self._session.client("ecs")
        self.secrets = self._session.client("secretsmanager")
        self.ecs.create_cluster(clusterName="load")
        self.ecs.create_cluster(clusterName="other")
        ec2 = self._session.client("ec2")
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
        self.subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        self.group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
        self.calls: list[str] = []
        self.kill_at = 0
        self.after = False

    def settings(self, **given: object) -> dict[str, Any]:
        role = "arn:aws:iam::123456789012:role/pull"
        base = {"cluster": "load", "image": "repo/agent:1", "subnets": [self.subnet], "execution_role": role}
        return {**base, "security_groups": [self.group], **given}

    def provider(self, clock: Clock | None = None, /, **given: object) -> EcsProvider:
        return EcsProvider(
            read("ecs", EcsProvider.settings, self.settings(**given)),
            now=clock.now if clock else time.monotonic,
            sleep=clock.sleep if clock else lambda seconds: None,
            make_session=lambda **more: self._session,
        )

    def pricing(self) -> Stubber:
        """Answers for the provider's client of the price list."""
        config = Config(retries={"mode": "standard", "total_max_attempts": 3})
        return Stubber(self._session.client("pricing", region_name="us-east-1", config=config))

    def left(self) -> list[str]:
        clusters = [self.ecs.list_tasks(cluster=name, desiredStatus="RUNNING") for name in ("load", "other")]
        running = [arn for cluster in clusters for arn in cluster["taskArns"]]
        defined = self.ecs.list_task_definitions(status="ACTIVE")["taskDefinitionArns"]
        return [*running, *defined, *(each["Name"] for each in self.secrets.list_secrets()["SecretList"])]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    monkeypatch.setattr(inventory, "_POLL_S", 0.01)
    with mock_aws():
        made = Account()
        call = botocore.client.BaseClient._make_api_call

        def counted(self: Any, name: str, arguments: Any) -> Any:
            made.calls.append(f"{self.meta.service_model.service_name}:{name}")
            made.kill_at -= 1
            if made.kill_at == 0 and not made.after:
                raise Killed
            answer = call(self, name, arguments)
            if made.kill_at == 0:
                raise Killed
            return answer

        monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", counted)
        yield made


def test_up_status_and_down(aws: Account) -> None:
    made = aws.provider().launch(launch_request(13), quiet)
    assert (len(made.instances), made.failures) == (13, [])
    assert aws.calls.count("ecs:RunTask") == 2
    again = aws.provider()
    assert {instance.id for instance in again.list("demo")} == {instance.id for instance in made.instances}
    assert {instance.expires_s for instance in again.list()} == {made.instances[0].expires_s}
    assert again.list("dem") == []
    removed = again.stop("demo", quiet)
    assert len(removed) == 15
    assert aws.left() == []
    assert again.list("demo") == []
    assert again.stop("demo", quiet) == []


def test_a_fleet_whose_name_begins_another_s_leaves_that_alone(aws: Account) -> None:
    aws.provider().launch(launch_request(1, "a"), quiet)
    aws.provider().launch(launch_request(1, "a-b"), quiet)
    aws.provider().stop("a", quiet)
    assert len(aws.left()) == 3
    assert "heyfleet/a-b" in aws.left()
    assert [instance.fleet for instance in aws.provider().list("a-b")] == ["a-b"]


def test_a_fleet_is_found_in_its_own_cluster_whichever_is_asked_for(aws: Account) -> None:
    for remove in ("stop", "reap"):
        aws.provider(cluster="other").launch(launch_request(2, lifetime_s=-1), quiet)
        said: list[str] = []
        asked = aws.provider(cluster="load")
        assert len(asked.list("demo")) == 2
        removed = asked.stop("demo", said.append) if remove == "stop" else asked.reap(said.append)
        assert len(removed) == 4, removed
        assert aws.left() == []
        assert "demo is in the cluster other" in said


def test_a_cluster_that_is_gone_keeps_nothing_of_its_fleets(aws: Account) -> None:
    aws.provider(cluster="other").launch(launch_request(1), quiet)
    (arn,) = aws.ecs.list_tasks(cluster="other")["taskArns"]
    aws.ecs.stop_task(cluster="other", task=arn)
    aws.ecs.delete_cluster(cluster="other")
    del ecs_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].clusters["other"]
    assert aws.provider().list("demo") == []
    assert len(aws.provider().stop("demo", quiet)) == 2
    aws.ecs.create_cluster(clusterName="other")
    assert aws.left() == []


def test_what_is_named_like_ours_and_is_not_stays(aws: Account) -> None:
    container = {"name": "a", "image": "x", "cpu": 256, "memory": 512}
    aws.ecs.register_task_definition(family="heyfleet-web", containerDefinitions=[container])
    aws.secrets.create_secret(Name="heyfleet/web", SecretString="theirs")
    before = aws.left()
    assert aws.provider().list() == []
    assert aws.provider().reap(quiet, everything=True) == []
    assert aws.provider().stop("web", quiet) == []
    assert aws.left() == before


def test_tasks_are_waited_for_while_they_still_run(aws: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    call, late, said = botocore.client.BaseClient._make_api_call, [2], list[str]()
    aws.provider().launch(launch_request(2), quiet)

    def slow(self: Any, name: str, arguments: Any) -> Any:
        answer = call(self, name, arguments)
        if name == "StopTask":
            late[0] = 3
        if name == "DescribeTasks" and late[0] > 0:
            late[0] -= 1
            for task in answer["tasks"]:
                task["lastStatus"] = "DEACTIVATING"
        return answer

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", slow)
    aws.provider().stop("demo", said.append)
    assert said.count("waiting for 2 tasks to stop") >= 3
    assert aws.left() == []


def test_who_started_a_task_is_said_as_ecs_allows(aws: Account) -> None:
    aws.provider().launch(launch_request(1, "a-" + "b" * 38), quiet)
    (arn,) = aws.ecs.list_tasks(cluster="load")["taskArns"]
    (task,) = aws.ecs.describe_tasks(cluster="load", tasks=[arn])["tasks"]
    assert re.fullmatch(r"[A-Za-z0-9/_-]{1,36}", task["startedBy"])


def test_reap_takes_what_is_over_and_leaves_the_rest(aws: Account) -> None:
    aws.provider().launch(launch_request(2, "old", lifetime_s=-1), quiet)
    aws.provider().launch(launch_request(1, "new"), quiet)
    assert len(aws.provider().reap(quiet)) == 4
    assert len(aws.left()) == 3
    assert len(aws.provider().reap(quiet, everything=True)) == 3
    assert aws.left() == []


def test_a_deployer_killed_at_any_call_leaves_nothing_after_a_reap(aws: Account) -> None:
    chance, had_left = random.Random(7), 0
    for seed in range(KILLS):
        aws.kill_at, aws.after = chance.randint(1, 15), chance.random() < 0.5
        try:
            provider = aws.provider()
            provider.launch(launch_request(chance.choice((1, 11)), f"f{seed}", lifetime_s=0), quiet)
            provider.stop(f"f{seed}", quiet)
        except Killed:
            pass
        aws.kill_at = 0
        had_left += bool(aws.left())
        aws.provider().reap(quiet)
        assert aws.left() == [], seed
        backend = ecs_backends[DEFAULT_ACCOUNT_ID][
            "us-east-1"
        ]  # it keeps all that is over, and looks through it
        backend.tasks.clear()
        backend.task_definitions.clear()
    assert had_left > KILLS / 4


def test_the_policy_allows_what_is_called(aws: Account) -> None:
    provider = aws.provider(log_group="agents")
    plan = provider.plan(launch_request())
    assert plan.policy is not None
    assert aws.left() == []
    provider.launch(launch_request(), quiet)
    assert "not exist" in next(iter(provider.logs("demo")))[1]
    provider.reap(quiet, everything=True)
    assert "ecs:RunTask" in aws.calls
    (passed,) = (each for each in plan.policy["Statement"] if "iam:PassRole" in each["Action"])
    assert passed["Resource"] == "arn:aws:iam::123456789012:role/pull"
    assert passed["Condition"] == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    for call in set(aws.calls):
        assert allowed(call, plan.policy), call


def test_a_task_keeps_its_secrets_out_of_all_but_the_secret(aws: Account) -> None:
    said: list[str] = []
    aws.provider().launch(launch_request(1), said.append)
    defined = aws.ecs.describe_task_definition(taskDefinition="heyfleet-demo")["taskDefinition"]
    assert "secret\n" not in json.dumps(defined) + " ".join(said)
    value = aws.secrets.get_secret_value(SecretId="heyfleet/demo")["SecretString"]
    assert json.loads(value)["HEYFLEET_JOIN_TOKEN"] == "heyfleet-token-1\nsecret\n"


def test_the_task_s_script_makes_files_of_its_secrets(tmp_path: Path) -> None:
    settings = TaskSettings(
        image="i",
        cpu="1",
        memory="2",
        execution_role="r",
        log_group="g",
        region="us-east-1",
        cluster="load",
    )
    made = task_definition(launch_request(lifetime_s=60), settings, "arn:secret", 1_800_000_000)
    (container,) = made["containerDefinitions"]
    assert container["secrets"][1] == {
        "name": "HEYFLEET_JOIN_TOKEN",
        "valueFrom": "arn:secret:HEYFLEET_JOIN_TOKEN::",
    }
    # A heyfleet that only says how it was called, in an environment without a metadata service.
    program = tmp_path / "heyfleet"
    program.write_text('#!/bin/sh\necho "$@"\nenv | grep -c HEYFLEET\ncat "$5" "$7"\nstat -c %a "$7"\n')
    program.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "TMPDIR": str(tmp_path),
        "HEYFLEET_CA_PEM": "the CA",
        "HEYFLEET_JOIN_TOKEN": "the token",
    }
    command = [*container["entryPoint"], *container["command"]]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    called, environ, ca, token, mode = run.stdout.splitlines()
    assert called.startswith("agent --join boss:7700 --ca ")
    assert (environ, ca, token, mode) == ("0", "the CA", "the token", "600")


def test_tasks_without_room_are_asked_for_again_and_then_named(
    aws: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, short = botocore.client.BaseClient._make_api_call, [3, 1, 0]

    def scarce(self: Any, name: str, arguments: Any) -> Any:
        if name != "RunTask":
            return call(self, name, arguments)
        missing = min(short.pop(0) if short else 0, arguments["count"])
        got = arguments["count"] - missing
        tasks = call(self, name, {**arguments, "count": got})["tasks"] if got else []
        return {"tasks": tasks, "failures": [{"reason": "RESOURCE:ENI", "detail": "none"}] * missing}

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", scarce)
    made = aws.provider().launch(launch_request(6), quiet)
    assert (len(made.instances), made.failures) == (6, [])
    aws.provider().stop("demo", quiet)
    short[:] = [4] * 5
    made = aws.provider().launch(launch_request(6), quiet)
    assert len(made.instances) == 2
    assert made.failures == ["ecs: 4 tasks: RESOURCE:ENI none"]


def test_throttled_or_unanswered_it_asks_again_with_the_same_token(
    aws: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, codes, tokens = (
        botocore.client.BaseClient._make_api_call,
        ["ThrottlingException", "ServerException"],
        [],
    )

    def refused(self: Any, name: str, arguments: Any) -> Any:
        if name == "RunTask":
            tokens.append(arguments["clientToken"])
            if codes:
                raise ClientError({"Error": {"Code": codes.pop(), "Message": "no"}}, name)
        return call(self, name, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", refused)
    made = aws.provider().launch(launch_request(2), quiet)
    assert (len(made.instances), made.failures) == (2, [])
    assert (len(tokens), len(set(tokens))) == (3, 1)


def test_what_is_missing_or_refused_is_named(aws: Account) -> None:
    for name in ("image", "subnets", "execution_role"):
        with pytest.raises(SettingError, match=f"{name}: --on ecs needs it; use --with {name}"):
            aws.provider(**{name: ""}).launch(launch_request(), quiet)
    assert aws.left() == []
    made = aws.provider(cluster="nowhere").launch(launch_request(), quiet)
    assert made.instances == []
    assert "--with cluster=NAME must exist" in made.failures[0]
    aws.provider().launch(launch_request(1, "other"), quiet)
    with pytest.raises(DeployError, match="ResourceExistsException"):
        aws.provider().launch(launch_request(1, "other"), quiet)


def test_the_commands_of_the_guide(aws: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no agent joins: those that wait for some must say so and leave nothing. With agents: tests/hosts."""
    seen = []
    for command in COMMANDS:
        words = shlex.split(command.replace("boss:7700", "127.0.0.1:9"))
        words = [f"subnets={aws.subnet}" if word.startswith("subnets=") else word for word in words]
        if "--join" in words or "up" in words:
            words += ["--with", f"security_groups={aws.group}"]
        if words[0] == "run":
            words += ["--join-timeout", "100ms", "--listen", "127.0.0.1:0"]
        if words[1] == "logs":
            aws.provider().launch(launch_request(2), quiet)
        result = CliRunner().invoke(main, words)
        said = result.output
        if "--dry-run" in words:
            assert result.exit_code == 0, said
            assert "required permissions:" in said
        elif words[0] == "run":
            assert result.exit_code == 2, said
            assert "0 of 6 agents joined within 0.1 s" in said
            assert "removed: task " in said
        elif words[1] in {"up", "status"}:
            assert result.exit_code == 2, said
            assert "--credentials" in said
        else:
            assert result.exit_code == 0, said
        assert words[1] == "logs" or aws.left() == []
        seen.append(words[1])
    assert seen[2:] == ["up", "status", "logs", "down", "reap"]


def test_the_template_is_clean() -> None:
    lint = Path(sys.executable).with_name("cfn-lint")
    run = subprocess.run(
        [str(lint), str(ROOT / "deploy/ecs/template.yaml")], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (0, ""), run.stdout + run.stderr
