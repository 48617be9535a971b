"""The building blocks of :mod:`pdm_cli.settings.model`: a setting, and a section of settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, ClassVar, TypedDict, Unpack


class Traits(TypedDict, total=False):
    """Optional properties of a setting.

    Attributes
    ----------
    advanced : bool
        True hides the option from ``--help``; ``--help-all`` shows it.
    old_names : tuple of str
        Former names, still accepted as option, config key and environment variable.
    changes_result : bool
        False for settings, such as the number of workers, that do not change a byte of the outputs.
    only_for : tuple of str, optional
        Another setting of the section and the value it must have for this one to have any effect.
    variables : tuple of str
        Environment variables of other programs that set the value too; the first one set counts.
    may_be_empty : bool
        False if the option must not be given with an empty list.
    for_submitting : bool
        True for a setting that only commands that submit jobs need.
    fits_data : bool
        True if a value that fits the data replaces a default that does not.
    metavar : str
        Value in the help, in place of that of the setting's type.
    kept_if_empty : bool
        False for a setting that outputs record only if it is not empty.
    panel : str
        Heading of the option in the help, in place of that of the section.
    reader : callable, optional
        Converts the values of a repeatable option, which may have commas, or the value of the config file.
    table_key : str
        Key in the section of one raw table, such as ``files`` in ``[import.failures]``; with the table, such as
        ``failures.where``, if it has such a key only there.
    is_private : bool
        True if messages do not show a wrong value, which may contain a password.
    """

    advanced: bool
    old_names: tuple[str, ...]
    changes_result: bool
    only_for: tuple[str, str] | None
    variables: tuple[str, ...]
    may_be_empty: bool
    for_submitting: bool
    fits_data: bool
    metavar: str
    kept_if_empty: bool
    panel: str
    reader: Callable[[object], object] | None
    table_key: str
    is_private: bool


_PLAIN: Traits = {
    "advanced": False,
    "old_names": (),
    "changes_result": True,
    "only_for": None,
    "variables": (),
    "may_be_empty": True,
    "for_submitting": False,
    "fits_data": False,
    "metavar": "",
    "kept_if_empty": True,
    "panel": "",
    "reader": None,
    "table_key": "",
    "is_private": False,
}


def setting(default: Any, text: str, **traits: Unpack[Traits]) -> Any:
    """Return a dataclass field with a default (a dict is copied), a help text of one line, and its traits."""
    metadata = {"help": text, **_PLAIN, **traits}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Section:
    """Base of all config sections; unknown keys and non-finite numbers are rejected."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}
    # Whether a model's own settings, rather than the defaults, replace those that were not given.
    is_as_trained: ClassVar[bool] = False

    @property
    def given(self) -> frozenset[str]:
        """Names of the settings that were given, even with their default value; else of those that differ from it."""
        noted: frozenset[str] | None = vars(self).get("_given")
        if noted is not None:
            return noted
        return frozenset(item.name for item in fields(self) if getattr(self, item.name) != default_of(item))

    def note_given(self, names: Iterable[str]) -> None:
        """Record which settings option, environment or config file gave; equality ignores this."""
        object.__setattr__(self, "_given", frozenset(names))


def key_of(name: str) -> str:
    """Return the config file's spelling of a section or setting: ``import_`` is ``import``, a keyword of Python."""
    return name.removesuffix("_")


def option_name(key: str) -> str:
    """Return the command line's spelling of a setting: ``horizon_hours`` is ``--horizon-hours``."""
    return "--" + key_of(key).replace("_", "-")


def is_recorded(item: Field[Any], value: object) -> bool:
    """Return whether outputs record a setting: not if it cannot change a result, such as the number of workers."""
    return bool(item.metadata["changes_result"] and (item.metadata["kept_if_empty"] or value))


def quote_choice(choice: object) -> str:
    """Return a choice as it is listed: signs such as a comma are quoted."""
    text = str(choice)
    return text if any(map(str.isalnum, text)) else f"'{text}'"


def default_of(item: Field[Any]) -> object:
    """Return the default of a setting."""
    return item.default_factory() if item.default_factory is not MISSING else item.default
