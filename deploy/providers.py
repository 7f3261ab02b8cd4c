"""The engines by name; each is imported only when it is asked for, since some need packages that others don't."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from heyfleet.deploy.provider import DeployError, Provider
from heyfleet.deploy.settings import SettingError, read

# name: module, class, the extra with the packages that it imports
PROVIDERS = {
    "local": ("heyfleet.deploy.local", "LocalProvider", ""),
    "ssh": ("heyfleet.deploy.ssh.provider", "SshProvider", ""),
    "ec2": ("heyfleet.deploy.ec2.provider", "Ec2Provider", "aws"),
    "asg": ("heyfleet.deploy.ec2.autoscaling", "AutoScalingProvider", "aws"),
    "ecs": ("heyfleet.deploy.ecs.provider", "EcsProvider", "aws"),
    "k8s": ("heyfleet.deploy.k8s.provider", "K8sProvider", "k8s"),
}


def engine(name: str, given: Mapping[str, object]) -> Provider:
    """An engine with settings as they were given. SettingError or DeployError with the cure."""
    found = find(name)
    made: Provider = found(read(name, found.settings, given))
    return made


def find(name: str) -> Any:
    """The class of an engine. SettingError or DeployError with the cure."""
    if name not in PROVIDERS:
        raise SettingError(f"--on {name}: there is no such engine; there is {', '.join(PROVIDERS)}")
    module, kind, extra = PROVIDERS[name]
    try:
        return getattr(importlib.import_module(module), kind)
    except ImportError as error:
        if not extra:
            raise
        raise DeployError(
            f"--on {name} needs the package {error.name}: pip install 'heyfleet[{extra}]'"
        ) from None
