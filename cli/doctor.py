"""`heyfleet doctor`: is this host fit to make load?"""

from __future__ import annotations

import json

import click

HELP = """Say what this host can carry as an agent, what stands in the way, and what to do about it.

Nothing is changed without --tune, which sets what may be set (sysctls of the network namespace; root) and
remembers how it was; --restore puts that back.
"""


@click.command("doctor", help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
@click.option("--tune", is_flag=True, help="Set the sysctls that are not as they should be.")
@click.option("--restore", is_flag=True, help="Put back what --tune changed.")
def doctor(*, as_json: bool, tune: bool, restore: bool) -> None:
    """Examine; exit code 0, 1 where no load can be made, 2 where a setting can't be set."""
    from heyfleet.agent.host import doctor as doctors
    from heyfleet.agent.host import sysctl as tuning

    if tune and restore:
        raise click.UsageError("--tune and --restore exclude each other")
    try:
        state = tuning.state_file()
        changed = tuning.tune(state) if tune else tuning.restore(state) if restore else []
    except tuning.TuningError as error:
        raise click.UsageError(str(error)) from None
    for line in changed:
        click.echo(line, err=True)
    found = doctors.document()
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        for line in doctors.lines():
            click.echo(line)
    bad = any(check["state"] == doctors.BAD for check in found["checks"])
    raise click.exceptions.Exit(int(bad))
