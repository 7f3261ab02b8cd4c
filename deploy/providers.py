"""The engines by name; each is imported only when it is asked for, since some need packages that others don't."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from heyfleet.deploy.provider import DeployError, Engine
from heyfleet.deploy.settings import SettingError, read

# name: module, class, the extra with the packages that it imports
ENGINES = {
    "local": ("heyfleet.deploy.local", "LocalEngine", ""),
    "ssh": ("heyfleet.deploy.ssh.provider", "SshEngine", ""),
    "ec2": ("heyfleet.deploy.ec2.provider", "Ec2Engine", "aws"),
    "asg": ("heyfleet.deploy.ec2.autoscaling", "GroupEngine", "aws"),
    "ecs": ("heyfleet.deploy.ecs.provider", "EcsEngine", "aws"),
    "k8s": ("heyfleet.deploy.k8s.provider", "K8sEngine", "k8s"),
}


def engine(name: str, given: Mapping[str, object]) -> Engine:
    """An engine with settings as they were given. SettingError or DeployError with the cure."""
    found = find(name)
    made: Engine = found(read(name, found.settings, given))
    return made


def find(name: str) -> Any:
    """The class of an engine. SettingError or DeployError with the cure."""
    if name not in ENGINES:
        raise SettingError(f"--on {name}: there is no such engine; there is {', '.join(ENGINES)}")
    module, kind, extra = ENGINES[name]
    try:
        return getattr(importlib.import_module(module), kind)
    except ImportError as error:
        if not extra:
            raise
        raise DeployError(
            f"--on {name} needs the package {error.name}: pip install 'heyfleet[{extra}]'"
        ) from None
