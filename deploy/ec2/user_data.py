"""The script that an instance runs: user-data.sh with its placeholders filled in; on a head node it ends with head.sh."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from heyfleet.deploy.ec2.bundle_store import BundleSource
from heyfleet.deploy.provider import HeadNodeRequest, LaunchRequest
from heyfleet.errors import DeployError

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html
_MAX_BYTES = 16 << 10
_AGENT_PART = "# The rest is the agent's part; head.sh replaces it on a head node.\n"


def render_agent(request: LaunchRequest, bundle: BundleSource) -> str:
    """Return the script for an agent's instance. Raises DeployError if it exceeds EC2's limit."""
    values = {
        **_boot_values(request.lifetime_s, bundle),
        "JOIN": shlex.quote(request.join),
        "CA": _text(request.ca_pem),
        "TOKEN": _text(request.token),
    }
    return _fill(_read("user-data.sh"), values)


def render_head_node(request: HeadNodeRequest, bundle: BundleSource) -> str:
    """Return the script for a head node. Raises DeployError if it exceeds EC2's limit."""
    boot_part, separator, _ = _read("user-data.sh").partition(_AGENT_PART)
    assert separator
    values = {
        **_boot_values(request.lifetime_s, bundle),
        "JOIN": "''",
        "PORT": str(request.port),
        "CA": _text(request.credentials["ca.pem"]),
        "KEY": _text(request.credentials["ca.key"]),
        "TOKENS": _text(request.credentials["tokens.json"]),
    }
    return _fill(boot_part + _read("head.sh"), values)


def _boot_values(lifetime_s: int, bundle: BundleSource) -> dict[str, str]:
    return {
        "MINUTES": str(-(-lifetime_s // 60)),
        "NAME": "''",  # the script asks the metadata service for the instance's id
        "URL": shlex.quote(bundle.url),
        "SHA256": shlex.quote(bundle.sha256),
    }


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text()


def _text(content: bytes) -> str:
    return content.decode().strip()


def _fill(template: str, values: dict[str, str]) -> str:
    script = re.sub(r"@([A-Z0-9]+)@", lambda match: values[match[1]], template)
    size = len(script.encode())
    if size > _MAX_BYTES:
        raise DeployError(
            f"the instances' user-data has {size} bytes, and EC2 accepts {_MAX_BYTES}",
            "use a shorter bundle URL",
        )
    return script
