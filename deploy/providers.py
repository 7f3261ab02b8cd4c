"""The providers by name. Each is imported on use, because some need packages that others don't."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from heyfleet.deploy.provider import Provider
from heyfleet.deploy.settings import SettingError, read
from heyfleet.errors import DeployError

# name: module, class, the extra that installs the packages it imports
PROVIDERS = {
    "local": ("heyfleet.deploy.local", "LocalProvider", ""),
    "ssh": ("heyfleet.deploy.ssh.provider", "SshProvider", ""),
    "ec2": ("heyfleet.deploy.ec2.provider", "Ec2Provider", "aws"),
    "asg": ("heyfleet.deploy.ec2.autoscaling", "AutoScalingProvider", "aws"),
    "ecs": ("heyfleet.deploy.ecs.provider", "EcsProvider", "aws"),
    "k8s": ("heyfleet.deploy.k8s.provider", "K8sProvider", "k8s"),
}


def make_provider(name: str, values: Mapping[str, object]) -> Provider:
    """Return a provider with these settings. Raises SettingError or DeployError."""
    kind = provider_class(name)
    provider: Provider = kind(read(name, kind.settings, values))
    return provider


def provider_class(name: str) -> Any:
    """Return the class of a provider. Raises SettingError for an unknown name, DeployError for a missing package."""
    if name not in PROVIDERS:
        raise SettingError(f"--on {name}: unknown provider", f"use one of {', '.join(PROVIDERS)}")
    module, kind, extra = PROVIDERS[name]
    try:
        return getattr(importlib.import_module(module), kind)
    except ImportError as error:
        if not extra:
            raise
        raise DeployError(
            f"--on {name} needs the package {error.name}", f"pip install 'heyfleet[{extra}]'"
        ) from None
