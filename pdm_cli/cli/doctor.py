"""``pdm doctor``: check what pdm needs, on this computer and on Azure."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pdm_cli.cli.options import bind, with_settings
from pdm_cli.cli.screen import Screen
from pdm_cli.errors import ConfigError

if TYPE_CHECKING:
    from pdm_cli.azure.checks import Check, Outcome
    from pdm_cli.settings.model import AzureParams

_NEEDED = ("numpy", "scipy", "pandas", "pyarrow", "statsmodels", "scikit-learn", "optuna")
_GIGABYTE = 1e9
# A few models need this much disk space.
_LEAST_FREE = 1 * _GIGABYTE
# Entry points of Python programs are smaller.
_MOST_SCRIPT_BYTES = 1 << 16


@with_settings("azure", is_bound=False)
def doctor(**values: Any) -> None:
    """Check the installation, the config and, if configured, the Azure ML workspace.

    The exit code is 0, or that of the first failed check.

    Example: pdm doctor
    """
    from pdm_cli.azure.checks import run_checks
    from pdm_cli.cli.render.checks import CheckLines

    # One of the checks reads the settings, because they may be wrong.
    screen = Screen(**{item.name: values[item.name] for item in fields(Screen)})
    results = run_checks(_list_checks(values))
    exit_code = next((result.exit_code for result in results if result.exit_code), 0)
    checks = [{name: value for name, value in asdict(result).items() if name != "exit_code"} for result in results]
    screen.result({"schema": "pdm.doctor/1", "exit": exit_code, "checks": checks}, lambda: [CheckLines(checks)])
    raise typer.Exit(exit_code)


def _list_checks(values: Mapping[str, Any]) -> list[Check]:
    from pdm_cli.azure.checks import Check, list_checks

    @functools.cache
    def read_settings() -> AzureParams:
        azure: AzureParams = bind(("azure",), values)["settings"].azure
        return azure

    def find_settings() -> Outcome:
        read_settings()
        return check_config(values["config"])

    return [
        Check("python", check_python),
        Check("libraries", check_libraries),
        Check("command", lambda: check_command(os.environ.get("PATH"))),
        Check("machine", check_machine),
        Check("config", find_settings),
        *list_checks(read_settings, needs=("config",)),
    ]


def check_python() -> Outcome:
    """Report the versions of Python and pdm."""
    from pdm_cli import __version__
    from pdm_cli.azure.checks import Outcome

    return Outcome(f"Python {platform.python_version()} ({sys.executable}), pdm-cli {__version__}")


def check_libraries() -> Outcome:
    """Check that the numeric libraries are installed."""
    from pdm_cli.azure.checks import Outcome
    from pdm_cli.io.manifest import library_versions

    found = {name: version for name, version in library_versions().items() if name not in ("python", "pdm-cli")}
    missing = [name for name in _NEEDED if name not in found]
    if not {"xgboost", "xgboost-cpu"} & set(found):
        missing.append("xgboost")
    if missing:
        raise ConfigError(f"not installed: {', '.join(missing)}", hint=f"{sys.executable} -m pip install pdm-cli")
    return Outcome(", ".join(f"{name} {version}" for name, version in found.items()))


def check_command(search_path: str | None) -> Outcome:
    """Check which program ``pdm`` starts: the PDM package manager has the same name.

    The program is not started: ours is among the scripts of this installation and imports our package.
    """
    from pdm_cli.azure.checks import Outcome

    found = shutil.which("pdm", path=search_path)
    hint = "use python -m pdm_cli or pdm-cli for this program"
    if found is None:
        return Outcome("pdm is not on PATH", "warning", hint)
    if _is_ours(Path(found)):
        return Outcome(f"pdm is {found}")
    return Outcome(f"pdm is {found}: another program, probably the PDM package manager", "warning", hint)


def _is_ours(script: Path) -> bool:
    real = script.resolve()
    schemes = (sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user"))
    if real.parent not in {Path(sysconfig.get_path("scripts", scheme)).resolve() for scheme in schemes}:
        return False
    # If both packages are installed in one environment, the later one owns the name.
    with real.open("rb") as stream:
        text = stream.read(_MOST_SCRIPT_BYTES)
    return not text.startswith(b"#!") or b"pdm_cli" in text


def check_machine() -> Outcome:
    """Report cores, memory, and free disk space in the current folder."""
    from pdm_cli.azure.checks import Outcome

    free = shutil.disk_usage(Path.cwd()).free
    memory = _memory_bytes()
    parts = [f"{os.cpu_count() or 1} CPU cores", *([f"{memory / _GIGABYTE:.1f} GB memory"] if memory else [])]
    text = ", ".join([*parts, f"{free / _GIGABYTE:,.1f} GB free in {Path.cwd()}"])
    if free < _LEAST_FREE:
        return Outcome(text, "warning", "free some space: old outputs are deleted only when the new ones are complete")
    return Outcome(text)


def _memory_bytes() -> int | None:
    """Return the memory of this computer, if the system reports it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def check_config(named: str | None) -> Outcome:
    """Report which config file is in use; its settings are valid."""
    from pdm_cli.azure.checks import Outcome
    from pdm_cli.settings.load import CONFIG_FILE, find_config

    path = find_config(named, os.environ, Path())
    if path is None:
        return Outcome(f"no {CONFIG_FILE} here; using options, environment and defaults")
    return Outcome(f"{path.absolute()}")
