"""The pydantic-settings model of all sections; imported on first use, because pydantic-settings loads slowly."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, get_args, get_origin

from pydantic import Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from pdm_cli.errors import ConfigError, PdmError, UsageError
from pdm_cli.settings.cycles import parse_time_or_cycle
from pdm_cli.settings.database_url import HAS_PASSWORD, HOW_TO_GIVE_PASSWORDS
from pdm_cli.settings.field import key_of, option_name
from pdm_cli.settings.model import SECTIONS, Settings, types_of
from pdm_cli.text import split_list

ENVIRONMENT = "environment: "
_CONFLICT = re.compile(r"(\w+) (\(\S+\)) must not exceed (\w+) (\(\S+\))")
# Commands with options for the settings that ``run`` has none for.
_COMMANDS = {"import_": "import", "predict": "predict", "evaluate": "evaluate", "azure": "submit"}
# Types of pydantic's errors.
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("above", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("below", "lt"),
}
_KINDS = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "a text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
}


@dataclass(frozen=True)
class Given:
    """A value from one source, the origin to show for it, and the key if it is written with a former name."""

    value: object
    origin: str
    key: str = ""


Source = Mapping[str, Mapping[str, Given]]


class _Layers(BaseSettings):
    """Merges the sources in order; the fields, one per section, come from :func:`_model`."""

    # Values that tracebacks show may contain a password.
    model_config = SettingsConfigDict(extra="forbid", validate_default=False, hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing but the sources that are passed, not the environment of the process."""
        assert isinstance(init_settings, InitSettingsSource)
        origins = init_settings.init_kwargs["origins"]
        keys = init_settings.init_kwargs["keys"]
        sources = init_settings.init_kwargs["sources"]
        return tuple(_OriginSource(settings_cls, source, origins, keys) for source in sources)


class _OriginSource(PydanticBaseSettingsSource):
    """One source of settings; records the origin and the key of each value that takes effect."""

    def __init__(
        self, settings_cls: type[BaseSettings], source: Source, origins: dict[str, str], keys: dict[str, str]
    ) -> None:
        super().__init__(settings_cls)
        self._source = source
        self._origins = origins
        self._keys = keys

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Return a section's values without those of earlier sources, which pydantic-settings would merge into.

        Settings that tables have each on their own are merged.
        """
        earlier = self.current_state.get(field_name, {})
        source = self._source.get(field_name, {})
        given = {key: one for key, one in source.items() if key not in earlier or key in _per_table(field_name)}
        self._origins |= {key: one.origin for key, one in given.items() if key not in earlier}
        self._keys |= {key: one.key for key, one in given.items() if one.key and key not in earlier}
        return {key: _decode(field_name, key, one) for key, one in given.items()}, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the sections that this source has values for."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: values for name, values in found.items() if values}


@functools.cache
def _per_table(section: str) -> frozenset[str]:
    """Return the settings that hold a value per table."""
    return frozenset(
        item.name
        for item in fields(SECTIONS[section])
        if item.metadata["table_key"] and get_origin(types_of(section)[item.name]) is dict
    )


def _item(section: str, key: str) -> dataclasses.Field[Any]:
    """Return the declaration of a setting."""
    return next(item for item in fields(SECTIONS[section]) if item.name == key)


@functools.cache
def _model() -> Any:
    """Return the model with a field per section; building its validators is slow."""
    sections: dict[str, Any] = {name: (cls, Field(default_factory=cls)) for name, cls in SECTIONS.items()}
    return create_model("Layers", __base__=_Layers, **sections)


def merge(sources: Sequence[Source]) -> tuple[Settings, dict[str, str]]:
    """Return the validated settings of the sources, highest precedence first, and the origins of those given.

    Raises
    ------
    UsageError, ConfigError
        If a value is wrong: an option's, or another source's.
    """
    origins: dict[str, str] = {}
    keys: dict[str, str] = {}
    try:
        layers = _model()(sources=sources, origins=origins, keys=keys)
    except ValidationError as exc:
        raise _explain(exc, origins, keys) from exc
    return Settings(**{item.name: getattr(layers, item.name) for item in fields(Settings)}), origins


def _explain(exc: ValidationError, origins: Mapping[str, str], keys: Mapping[str, str]) -> PdmError:
    first = exc.errors()[0]
    section, *place = map(str, first["loc"])
    is_private = bool(place) and _item(section, place[0]).metadata["is_private"]
    message = explain_invalid({**first, "input": "…"} if is_private else first)
    if place:
        key = place[0]
    else:
        # A check across settings has no field of its own: blame the source with the highest precedence.
        given = [name for name in types_of(section) if name in origins]
        named = [name for name in given if message.startswith(f"{name}: ")] or [
            name for name in given if name in message
        ]
        key = min(named, key=lambda name: _rank(origins[name]))
        message = message.removeprefix(f"{key}: ")
        if conflict := _CONFLICT.fullmatch(message):
            return _explain_conflict(conflict, section, key, origins[key], spelled=keys.get(key, ""))
    error = wrong_value(section, key, origins[key], message, spelled=keys.get(key, ""))
    if message == HAS_PASSWORD:
        error.hint = HOW_TO_GIVE_PASSWORDS
    return error


def _explain_conflict(conflict: re.Match[str], section: str, key: str, origin: str, *, spelled: str) -> PdmError:
    """Return the error for a setting that must not exceed another."""
    low, value, high, limit = conflict.groups()
    error = wrong_value(section, key, origin, conflict[0], spelled=spelled)
    message = error.message
    if origin == "option":
        message = f"{option_name(low)} {value} must not exceed {option_name(high)} {limit}"
    return type(error)(message, hint=f"lower {option_name(low)}")


def explain_invalid(error: Mapping[str, Any]) -> str:
    """Return what is wrong with a value that pydantic rejects: ``'x' is not a number``, ``must be at least 1, got 0``.

    Parameters
    ----------
    error : mapping
        One of ``ValidationError.errors()``.
    """
    kind, given, limits = error["type"], error["input"], error.get("ctx", {})
    if kind in _BOUNDS:
        word, limit = _BOUNDS[kind]
        shown = f"{given:.15g}" if isinstance(given, float) else given
        return f"must be {word} {limits[limit]:g}, got {shown}"
    if kind in _KINDS:
        return f"{given!r} is not {_KINDS[kind]}"
    if kind == "literal_error":
        return f"expected {limits['expected'].replace(chr(39), '')}, got {given!r}"
    message = str(error["msg"]).removeprefix("Value error, ").rstrip(".")
    return message if kind == "value_error" else f"{message[0].lower()}{message[1:]} (got {given!r})"


def _rank(origin: str) -> int:
    return 0 if origin == "option" else 1 if origin.startswith(ENVIRONMENT) else 2


def wrong_value(section: str, key: str, origin: str, problem: str, *, spelled: str = "") -> PdmError:
    """Return the error for a wrong value of a setting, whose config key may be ``spelled`` with a former name."""
    option, form = option_name(key), _form_of(section, key, origin)
    if origin == "option":
        return UsageError(f"{option}: {problem}", hint=form or "see --help-all for the allowed values")
    where = origin if origin.startswith(ENVIRONMENT) else f"{origin}: [{key_of(section)}] {spelled or key_of(key)}"
    command = _COMMANDS.get(section, "run")
    hint = form or f"see {option} in pdm {command} --help-all for the allowed values"
    return ConfigError(f"{where}: {problem}", hint=hint)


def _form_of(section: str, key: str, origin: str) -> str:
    """Return a hint at the form of a value that the help does not list; empty for other settings."""
    expected = types_of(section)[key]
    if datetime in get_args(expected):
        return "such as 2024-01-30 or 2024-01-30T06:00"
    if _is_range(expected):
        is_text = origin == "option" or origin.startswith(ENVIRONMENT)
        form = "volt=0:400" if is_text else f"{key_of(key)} = {{ volt = [0, 400] }}"
        return f"sensor and low:high, such as {form}"
    return ""


def _is_range(expected: Any) -> bool:
    """Return whether a setting holds a pair of numbers per name."""
    return get_origin(expected) is dict and _is_number(expected)


def _decode(section: str, key: str, given: Given) -> object:
    """Return the value in the form that pydantic validates."""
    expected = types_of(section)[key]
    reader = _item(section, key).metadata["reader"]
    try:
        if reader is not None:
            return reader(given.value)
        value = _from_text(expected, given.value) if isinstance(given.value, str) else given.value
        _check_pair(expected, value, given, key)
        value = _reject_coercion(expected, value)
        return _as_list(expected, value) if section == "import_" else value
    except ValueError as exc:
        raise wrong_value(section, key, given.origin, str(exc), spelled=given.key) from exc


def _reject_coercion(expected: Any, value: object) -> object:
    """Reject values that pydantic would convert silently: true to 1, 2015 to a second of 1970."""
    if isinstance(value, bool) and expected is not bool:
        raise ValueError(f"{str(value).lower()} is not {'a number' if _is_number(expected) else 'a text'}")
    if datetime in get_args(expected) and isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is not a time such as 2015-10-01T06:00")
    return value


def _check_pair(expected: Any, value: object, given: Given, key: str) -> None:
    """Reject a list that does not have two names where two are expected."""
    if tuple[str, str] in get_args(expected) and isinstance(value, list) and len(value) != 2:
        form = "Tag,Value" if given.origin.startswith(ENVIRONMENT) else f'{key_of(key)} = ["Tag", "Value"]'
        raise ValueError(f"expected two columns: {form}")


def _as_list(expected: Any, value: object) -> object:
    """Return a single value as the list that a setting expects."""
    is_list = get_origin(expected) is tuple and get_args(expected)[-1] is Ellipsis
    return [value] if is_list and isinstance(value, (int, float)) else value


def _is_number(expected: Any) -> bool:
    return expected in (int, float) or any(_is_number(part) for part in get_args(expected))


def _from_text(expected: Any, text: str) -> object:
    origin = get_origin(expected)
    if datetime in get_args(expected):
        try:
            return parse_time_or_cycle(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a time such as 2015-10-01T06:00") from None
    if origin is dict:
        return dict(map(_range_from_text, split_list(text)))
    if origin is tuple or any(get_origin(part) is tuple for part in get_args(expected)):
        return split_list(text)
    return text


def _range_from_text(text: str) -> tuple[str, list[str]]:
    name, equals, span = text.rpartition("=")
    low, colon, high = span.partition(":")
    if not (equals and colon and name.strip()):
        raise ValueError(f"{text.strip()!r} does not have the form sensor=low:high")
    return name.strip(), [low.strip(), high.strip()]
