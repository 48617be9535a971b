"""A list of checks, some of which rest on others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from pdm_cli.errors import PdmError


@dataclass(frozen=True)
class Finding:
    """What a check found, where it found nothing wrong.

    Attributes
    ----------
    text : str
        One line.
    state : str
        ``ok``, or ``warning`` for what should be known; ``skipped`` where there is nothing to check.
    hint : str or None
        The way out.
    """

    text: str
    state: Literal["ok", "warning", "skipped"] = "ok"
    hint: str | None = None


@dataclass(frozen=True)
class Check:
    """Something to look at.

    Attributes
    ----------
    name : str
        One or two words.
    find : callable
        Returns a finding, and raises a ``PdmError`` for what is wrong.
    needs : tuple of str
        Names of earlier checks without which there is nothing to look at.
    """

    name: str
    find: Callable[[], Finding]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """How a check went.

    Attributes
    ----------
    name : str
        Of the check.
    state : str
        ``ok``, ``warning``, ``failed`` or ``skipped``.
    text : str
        What was found.
    hint : str or None
        The way out.
    exit_code : int
        What a command that met the same would end with; 0 unless it failed.
    """

    name: str
    state: Literal["ok", "warning", "failed", "skipped"]
    text: str
    hint: str | None = None
    exit_code: int = 0


def run_checks(checks: Iterable[Check]) -> list[Result]:
    """Run checks in order; those that rest on a failed or skipped one are skipped."""
    # Why nothing can rest on a check: what is said of those that do.
    blocked: dict[str, str] = {}
    results = []
    for check in checks:
        reason = next((blocked[name] for name in check.needs if name in blocked), None)
        result = _run(check) if reason is None else Result(check.name, "skipped", reason)
        if result.state == "failed":
            blocked[check.name] = f"skipped: {check.name} failed"
        elif result.state == "skipped":
            blocked[check.name] = result.text
        results.append(result)
    return results


def _run(check: Check) -> Result:
    try:
        found = check.find()
    except PdmError as error:
        return Result(check.name, "failed", error.message, error.hint, error.exit_code)
    return Result(check.name, found.state, found.text, found.hint)
