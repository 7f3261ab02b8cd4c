"""What instances have said on their consoles."""

from __future__ import annotations

from typing import Any

from heyfleet.deploy.aws_refusals import explained


def said(ec2: Any, instance: str) -> str:
    """Our lines of one instance's console, or its last ones. EC2 shows it some minutes late."""
    with explained():
        output = ec2.get_console_output(InstanceId=instance)
    lines = str(output.get("Output", "")).splitlines()
    ours = [line for line in lines if "heyfleet" in line]
    return "\n".join(ours or lines[-20:])
