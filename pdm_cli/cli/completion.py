"""``pdm completion``: the script that lets a shell complete commands and options."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import typer

# Both names of the program are one to the parser, which hears by this variable that it is to complete.
_VARIABLE = "_PDM_COMPLETE"
_PROGRAMS = ("pdm", "pdm-cli")


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="The shell.", metavar="SHELL")],
) -> None:
    """Print the script that lets a shell complete commands and options.

    For bash and zsh put the line of the example into ~/.bashrc or ~/.zshrc, there below compinit, with the name of
    the shell; for fish write the script to ~/.config/fish/completions/pdm.fish.

    Example: source <(pdm completion bash)
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    scripts = [get_completion_script(prog_name=name, complete_var=_VARIABLE, shell=shell) for name in _PROGRAMS]
    typer.echo("\n".join(scripts))


def prepare_completion() -> None:
    """Have Typer answer a shell that asks what fits; costs nothing where none does."""
    if _VARIABLE in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()
