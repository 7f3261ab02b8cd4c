"""`heyfleet doctor`: check how much load this host can generate."""

from __future__ import annotations

import click

from heyfleet import console
from heyfleet.text import dump_json

HELP = """Check how much load this host can generate, what limits it, and what to do about that.

Nothing is changed without --tune, which needs root. It sets the sysctls of the network namespace that limit a load
generator, and saves their earlier values; --restore puts these back.
"""
EPILOG = """\b
Exit codes:
  0  this host can generate load
  1  it can't
  2  invalid input, or a setting could not be changed"""


@click.command("doctor", help=HELP, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--tune", is_flag=True, help="Set the sysctls that limit load generation.")
@click.option("--restore", is_flag=True, help="Restore the values from before --tune.")
def doctor(*, as_json: bool, tune: bool, restore: bool) -> None:
    """Change settings if requested, and print all checks."""
    from heyfleet.agent.host import doctor as checks
    from heyfleet.agent.host import sysctl

    if tune and restore:
        raise click.UsageError("--tune and --restore exclude each other")
    state = sysctl.state_file()
    changes = sysctl.tune(state) if tune else sysctl.restore(state) if restore else []
    console.write_stderr(changes)
    document = checks.document()
    if as_json:
        console.write_stdout([dump_json(document)])
    else:
        console.write_lines(checks.lines())
    unusable = any(check["state"] == checks.BAD for check in document["checks"])
    raise click.exceptions.Exit(int(unusable))
