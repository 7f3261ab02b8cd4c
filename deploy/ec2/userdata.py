"""What an instance does: user-data.sh with its words filled in."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from heyfleet.deploy.engine import DeployError, Order

_BYTES_AT_MOST = (
    16 << 10
)  # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html


def render(order: Order, url: str, sha256: str) -> str:
    """The script for the instances of an order. DeployError if it would be longer than EC2 allows."""
    words = {
        "MINUTES": str(-(-order.lifetime_s // 60)),
        "NAME": "''",  # the instance's id, which it asks for itself
        "JOIN": shlex.quote(order.join),
        "URL": shlex.quote(url),
        "SHA256": shlex.quote(sha256),
        "CA": order.ca_pem.decode().strip(),
        "TOKEN": order.token.decode().strip(),
    }
    template = Path(__file__).with_name("user-data.sh").read_text()
    made = re.sub(r"@([A-Z0-9]+)@", lambda match: words[match[1]], template)
    if len(made.encode()) > _BYTES_AT_MOST:
        raise DeployError(
            f"the instances' user-data has {len(made.encode())} bytes, and EC2 takes {_BYTES_AT_MOST}: "
            "a shorter URL of the bundle helps"
        )
    return made
