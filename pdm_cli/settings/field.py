"""What a setting is: a field of a config section with its default, its help, and what is to be known of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, ClassVar


def setting(
    default: Any,
    text: str,
    *,
    changes_result: bool = True,
    only_for: tuple[str, str] | None = None,
    variables: tuple[str, ...] = (),
    may_be_empty: bool = True,
    for_submitting: bool = False,
) -> Any:
    """Return a dataclass field with its default and its one line of help.

    Parameters
    ----------
    default : object
        Value used where neither option, environment nor config file gives one; a dict is copied.
    text : str
        Help shown for the option.
    changes_result : bool
        False for settings such as the number of workers that leave every output byte as it is.
    only_for : tuple of str, optional
        Another setting of the section, and the value of it without which this one has no effect.
    variables : tuple of str
        Names under which other programs put the value into the environment; the first one set is taken.
    may_be_empty : bool
        False for a list that nobody gives as an option to say nothing.
    for_submitting : bool
        True for a setting that matters where a job is made, and nowhere else.
    """
    metadata = {
        "help": text,
        "changes_result": changes_result,
        "only_for": only_for,
        "variables": variables,
        "may_be_empty": may_be_empty,
        "for_submitting": for_submitting,
    }
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Section:
    """Base of all config sections: unknown keys and non-finite numbers are refused."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}
    # Whether settings that nobody gave are a model's rather than the defaults, wherever a model is at hand.
    is_as_trained: ClassVar[bool] = False

    @property
    def given(self) -> frozenset[str]:
        """Names of the settings that were given, be it at their default; unless noted, those that differ from it."""
        noted: frozenset[str] | None = vars(self).get("_given")
        if noted is not None:
            return noted
        return frozenset(item.name for item in fields(self) if getattr(self, item.name) != default_of(item))

    def note_given(self, names: Iterable[str]) -> None:
        """Note which settings were given by option, environment or config file; no part of what makes two equal."""
        object.__setattr__(self, "_given", frozenset(names))


def default_of(item: Field[Any]) -> object:
    """Return the default of a setting."""
    return item.default_factory() if item.default_factory is not MISSING else item.default
