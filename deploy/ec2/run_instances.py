"""RunInstances until the requested number has started: in batches, subnet after subnet, and never one too many."""

from __future__ import annotations

from typing import Any

from heyfleet.deploy.aws.errors import NO_CAPACITY_CODES, deploy_error, error_code
from heyfleet.deploy.aws.launcher import Launcher
from heyfleet.deploy.aws.rate_limit import TokenBucket
from heyfleet.text import plural

BATCH = 100


class InstanceLauncher(Launcher):
    """The launch of one fleet's instances."""

    def launch(self, count: int, parameters: dict[str, Any], subnets: list[str]) -> None:
        """Start up to `count` instances; `started` and `failures` have the outcome."""
        # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/throttling.html
        instances = TokenBucket(1000, 2, self._now, self._sleep)
        calls = TokenBucket(5, 2, self._now, self._sleep)
        for subnet in subnets or [""]:
            while (missing := count - len(self.started)) > 0:
                size = min(BATCH, missing)
                self._log(f"starting {plural(size, 'instance')}" + (f" in {subnet}" if subnet else ""))
                placement = {"SubnetId": subnet} if subnet else {}
                instances.take(size)

                def start(token: str, size: int = size, placement: dict[str, str] = placement) -> Any:
                    calls.take(1)
                    return self._client.run_instances(
                        MinCount=1, MaxCount=size, ClientToken=token, **{**parameters, **placement}
                    )

                response, error = self._call(start)
                self.started += response.get("Instances", [])
                if error is not None:
                    self.failures.append(f"{subnet or 'ec2'}: {deploy_error(error)}")
                    if error_code(error) not in NO_CAPACITY_CODES:
                        return
                    break  # this subnet has no more capacity
