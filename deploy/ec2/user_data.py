"""What an instance does: user-data.sh with its words filled in; for a head, head.sh in place of the agent's part."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from heyfleet.deploy.provider import DeployError, LaunchRequest

_BYTES_AT_MOST = (
    16 << 10
)  # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html

_SEAM = "# From here on it is an agent.\n"


def render(order: LaunchRequest, url: str, sha256: str) -> str:
    """The script for the instances of an order. DeployError if it would be longer than EC2 allows."""
    words = {**_booting(order, url, sha256), "CA": _text(order.ca_pem), "TOKEN": _text(order.token)}
    return _filled(_read("user-data.sh"), words)


def render_head(order: LaunchRequest, files: Mapping[str, bytes], port: int, url: str, sha256: str) -> str:
    """The script for the instance with the controller, and these credentials. DeployError as above."""
    boot, seam, _ = _read("user-data.sh").partition(_SEAM)
    assert seam
    words = {
        **_booting(order, url, sha256),
        "PORT": str(port),
        "CA": _text(files["ca.pem"]),
        "KEY": _text(files["ca.key"]),
        "TOKENS": _text(files["tokens.json"]),
    }
    return _filled(boot + _read("head.sh"), words)


def _booting(order: LaunchRequest, url: str, sha256: str) -> dict[str, str]:
    return {
        "MINUTES": str(-(-order.lifetime_s // 60)),
        "NAME": "''",  # the instance's id, which it asks for itself
        "JOIN": shlex.quote(order.join),
        "URL": shlex.quote(url),
        "SHA256": shlex.quote(sha256),
    }


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text()


def _text(content: bytes) -> str:
    return content.decode().strip()


def _filled(template: str, words: dict[str, str]) -> str:
    made = re.sub(r"@([A-Z0-9]+)@", lambda match: words[match[1]], template)
    if len(made.encode()) > _BYTES_AT_MOST:
        raise DeployError(
            f"the instances' user-data has {len(made.encode())} bytes, and EC2 takes {_BYTES_AT_MOST}: "
            "a shorter URL of the bundle helps"
        )
    return made
