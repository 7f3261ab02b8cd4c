"""`heyfleet completion`: shell completion of commands, flags and their values."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from heyfleet import console

SHELLS = ("bash", "zsh", "fish")


def completion_command(main: click.Command) -> click.Command:
    """Return the command; `main` is the command whose words are completed."""

    @click.command()
    @click.argument("shell", type=click.Choice(SHELLS))
    def completion(shell: str) -> None:
        """Print a script that completes heyfleet's commands and flags in a shell.

        \b
        bash  eval "$(heyfleet completion bash)" in ~/.bashrc
        zsh   eval "$(heyfleet completion zsh)" in ~/.zshrc
        fish  heyfleet completion fish > ~/.config/fish/completions/heyfleet.fish
        """
        kind = get_completion_class(shell)
        if kind is None:
            raise click.UsageError(f"{shell}: completion is available for {', '.join(SHELLS)}")
        console.write_stdout([kind(main, {}, "heyfleet", "_HEYFLEET_COMPLETE").source() + "\n"])

    return completion
