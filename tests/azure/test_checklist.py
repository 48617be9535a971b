from __future__ import annotations

from typing import NoReturn

from pdm_cli.azure.checklist import Check, Finding, Result, run_checks
from pdm_cli.errors import ConfigError, RemoteError


def well() -> Finding:
    return Finding("fine")


def broken() -> NoReturn:
    raise RemoteError("workspace w: not found", hint="check --workspace")


def misread() -> NoReturn:
    raise ConfigError("no such key")


def never() -> NoReturn:
    raise AssertionError("rests on what is not there")


def test_findings_are_told_in_order() -> None:
    results = run_checks([Check("a", well), Check("b", lambda: Finding("so so", "warning", "mind it"), ("a",))])
    assert results == [Result("a", "ok", "fine"), Result("b", "warning", "so so", "mind it")]


def test_what_rests_on_a_failed_check_is_skipped() -> None:
    checks = [
        Check("a", broken),
        Check("b", never, ("a",)),
        Check("c", never, ("b",)),
        Check("d", misread),
        Check("e", well),
    ]
    assert run_checks(checks) == [
        Result("a", "failed", "workspace w: not found", "check --workspace", 6),
        Result("b", "skipped", "skipped: a failed"),
        Result("c", "skipped", "skipped: a failed"),
        Result("d", "failed", "no such key", None, 3),
        Result("e", "ok", "fine"),
    ]


def test_a_warning_holds_nothing_up() -> None:
    results = run_checks([Check("a", lambda: Finding("so so", "warning")), Check("b", well, ("a",))])
    assert [result.state for result in results] == ["warning", "ok"]


def test_what_rests_on_nothing_set_up_says_so() -> None:
    results = run_checks([Check("a", lambda: Finding("not set up", "skipped", "set it")), Check("b", never, ("a",))])
    assert results[1] == Result("b", "skipped", "not set up")
    assert not any(result.exit_code for result in results)
