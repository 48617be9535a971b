"""``pdm completion``: completion scripts for shells."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import typer

from pdm_cli.cli.help import Help

# The shell asks for completions through this variable; both program names use the same one.
_VARIABLE = "_PDM_COMPLETE"
_PROGRAMS = ("pdm", "pdm-cli")


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="Shell.", metavar="SHELL")],
    _help: Help = False,
) -> None:
    """Print a shell completion script.

    For bash, add the example to ~/.bashrc; for zsh, add it to ~/.zshrc below compinit, with zsh instead of bash; for
    fish, write the script to ~/.config/fish/completions/pdm.fish.

    Example: source <(pdm completion bash)
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    scripts = [get_completion_script(prog_name=name, complete_var=_VARIABLE, shell=shell) for name in _PROGRAMS]
    typer.echo("\n".join(scripts))


def prepare_completion() -> None:
    """Let Typer answer if a shell asks for completions."""
    if _VARIABLE in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()
