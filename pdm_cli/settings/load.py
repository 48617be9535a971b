"""Settings from option, environment, config file and default, in that order, each with its origin."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from pdm_cli.errors import ConfigError, PdmError, UsageError
from pdm_cli.settings.field import Section, default_of
from pdm_cli.settings.model import SECTIONS, Settings

CONFIG_FILE = "pdm-cli.toml"
ENV_PREFIX = "PDM_CLI_"
# Names with the prefix that are no settings: where the config is, and where tests find the reference data.
ENV_RESERVED = frozenset({"PDM_CLI_CONFIG", "PDM_CLI_REFERENCE"})

# Before the name of the variable in the origin of a setting.
_ENVIRONMENT = "environment: "


@dataclass(frozen=True)
class Resolved:
    """Validated settings and where each value came from.

    Attributes
    ----------
    settings : Settings
        One frozen dataclass a section.
    origins : dict of str to str
        Setting name to ``option``, ``environment: VARIABLE``, ``default`` or the config file's path.
    file : Path or None
        Config file that was read.
    """

    settings: Settings
    origins: dict[str, str]
    file: Path | None = None


def option_name(key: str) -> str:
    """Return the command line's spelling of a setting: ``horizon_hours`` is ``--horizon-hours``."""
    return "--" + key.replace("_", "-")


def section_fields(section: str) -> tuple[Field[Any], ...]:
    """Return the settings of a section in the order of declaration."""
    return fields(SECTIONS[section])


def resolve(
    options: Mapping[str, object],
    *,
    config: str | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Resolved:
    """Merge the four sources of settings and check every value.

    Parameters
    ----------
    options : mapping
        Setting name to the value given on the command line; ``None`` means not given.
    config : str, optional
        Config file; default: ``PDM_CLI_CONFIG``, else ``pdm-cli.toml`` in ``folder`` if it is there.
    environ : mapping, optional
        Environment; default: the process's own.
    folder : Path, optional
        Where the config file is looked for; default: the current folder.

    Raises
    ------
    ConfigError
        If the config file cannot be read, has an unknown section or key, or it or the environment holds a wrong value.
    UsageError
        If an option holds a wrong value.
    """
    environ = os.environ if environ is None else environ
    path = find_config(config, environ, folder or Path())
    from_file = _read_config(path) if path else {}
    from_environment = _read_environment(environ)
    origins: dict[str, str] = {}
    sections: dict[str, Any] = {}
    for name, cls in SECTIONS.items():
        values: dict[str, object] = {}
        for item in section_fields(name):
            variable, given = from_environment.get(item.name, ("", None))
            sources = (
                ("option", options.get(item.name)),
                (_ENVIRONMENT + variable, given),
                (str(path), from_file.get(name, {}).get(item.name)),
            )
            origins[item.name], value = next(((o, v) for o, v in sources if v is not None), ("default", None))
            if value is not None:
                values[item.name] = value
        sections[name] = _validate(cls, name, values, origins)
        _refuse_without_effect(name, sections[name], origins)
        sections[name].note_given(values)
    return Resolved(Settings(**sections), origins, path)


def restore(sections: Mapping[str, Mapping[str, object]], source: str) -> Settings:
    """Check settings that were kept in a file, such as a model's; sections that were not kept have their defaults.

    Raises
    ------
    ConfigError
        If a section, key or value is wrong; ``source`` says where.
    """
    values: dict[str, Any] = {}
    for name, kept in sections.items():
        if name not in SECTIONS:
            raise _unknown(f"{source}: unknown section [{name}]", name, list(SECTIONS))
        known = {item.name for item in section_fields(name)}
        for key in kept:
            if key not in known:
                raise _unknown(f"{source}: [{name}] unknown key {key!r}", key, sorted(known))
        given = {key: value for key, value in kept.items() if value is not None}
        values[name] = _validate(SECTIONS[name], name, given, dict.fromkeys(given, source))
    return Settings(**values)


def has_effect(item: Field[Any], values: Section) -> bool:
    """Return whether a setting does anything beside the others of its section."""
    only_for = item.metadata["only_for"]
    return only_for is None or bool(getattr(values, only_for[0]) == only_for[1])


def option_words(section: str, values: Section, *, by_model: bool = False) -> list[str]:
    """Return the options that give a section's settings, defaults included: ``["--alpha", "0.005", …]``.

    Parameters
    ----------
    section : str
        Name of the section.
    values : Section
        Its settings. Those without effect beside the others, and flags that are off, need no option.
    by_model : bool
        Whether a model's settings stand in for those that were not given: these get no option then, for they would be
        taken for the user's.
    """
    words: list[str] = []
    for item in section_fields(section):
        value = getattr(values, item.name)
        is_empty = value in ("", (), {}) and value == default_of(item)
        is_left_out = item.name not in values.given if by_model and values.is_as_trained else is_empty
        if not has_effect(item, values) or is_left_out or value is None or value is False:
            continue
        words += [option_name(item.name)] if value is True else [option_name(item.name), _to_text(value)]
    return words


def _to_text(value: object) -> str:
    """Undo ``_from_text``."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return ",".join(f"{name}={low}:{high}" for name, (low, high) in value.items())
    return value.isoformat() if isinstance(value, datetime) else str(value)


def find_config(config: str | None, environ: Mapping[str, str], folder: Path) -> Path | None:
    """Return the config file: the one named, by option or environment, else the one in ``folder`` if it is there."""
    named = config or environ.get(f"{ENV_PREFIX}CONFIG")
    if named:
        return Path(named)
    path = folder / CONFIG_FILE
    return path if path.is_file() else None


def _read_config(path: Path) -> dict[str, dict[str, object]]:
    try:
        # Editors on Windows put a byte order mark before the first section.
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}", hint="--config names the config file") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: not TOML: {exc}", hint="see sample_config.toml for the form") from exc
    for section, values in content.items():
        home = _home(section)
        if home is not None and not isinstance(values, dict):
            raise ConfigError(
                f"{path}: {section!r} stands in no section", hint=f"{section} belongs in section [{home}]"
            )
        if section not in SECTIONS:
            raise _unknown(f"{path}: unknown section [{section}]", section, list(SECTIONS))
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: {section} must be a section", hint=f"write [{section}] and its keys below it")
        for key in values:
            _check_key(path, section, key)
    return content


def _check_key(path: Path, section: str, key: str) -> None:
    known = [item.name for item in section_fields(section)]
    if key in known:
        return
    message = f"{path}: [{section}] unknown key {key!r}"
    home = _home(key)
    if home is not None:
        raise ConfigError(message, hint=f"{key} belongs in section [{home}]")
    others = [item.name for name in SECTIONS if name != section for item in section_fields(name)]
    near = get_close_matches(key, [*known, *others], n=1, cutoff=0.75)
    if near and near[0] not in known:
        raise ConfigError(message, hint=f"did you mean {near[0]!r}? It belongs in section [{_home(near[0])}]")
    raise _unknown(message, key, known)


def _home(key: str) -> str | None:
    """Return the section that a setting belongs to."""
    return next((name for name in SECTIONS if key in {item.name for item in section_fields(name)}), None)


def _read_environment(environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return for each setting that is in the environment the name of its variable and the value."""
    known = {_env_name(item): item.name for name in SECTIONS for item in section_fields(name)}
    values = {}
    for name, value in environ.items():
        # CI systems set variables to nothing where they mean not to set them.
        if not name.startswith(ENV_PREFIX) or name in ENV_RESERVED or not value:
            continue
        if name not in known:
            close = get_close_matches(name.removeprefix(ENV_PREFIX), [n.removeprefix(ENV_PREFIX) for n in known], n=1)
            hint = (
                f"did you mean {ENV_PREFIX + close[0]!r}?" if close else "unset it; sample_config.toml has all settings"
            )
            raise ConfigError(f"environment: unknown setting {name}", hint=hint)
        values[known[name]] = (name, value)
    return {**_read_other_variables(environ), **values}


def _read_other_variables(environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the settings that other programs' variables give, such as those that Azure's tools set."""
    items = [item for name in SECTIONS for item in section_fields(name)]
    found = {item.name: [name for name in item.metadata["variables"] if environ.get(name)] for item in items}
    return {setting: (names[0], environ[names[0]]) for setting, names in found.items() if names}


def _env_name(item: Field[Any]) -> str:
    return ENV_PREFIX + item.name.upper()


def _unknown(message: str, word: str, known: list[str]) -> ConfigError:
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
    return ConfigError(message, hint=hint)


def _validate(cls: type[Section], section: str, values: dict[str, object], origins: dict[str, str]) -> Section:
    from pydantic import TypeAdapter, ValidationError

    hints = get_type_hints(cls)
    parsed: dict[str, object] = {}
    for key, value in values.items():
        try:
            parsed[key] = _from_text(hints[key], value) if isinstance(value, str) else _not_mistaken(hints[key], value)
        except ValueError as exc:
            raise _wrong_value(section, key, origins, str(exc)) from exc
    try:
        return TypeAdapter(cls).validate_python(parsed)
    except ValidationError as exc:
        first = exc.errors()[0]
        message = first["msg"].removeprefix("Value error, ")
        # A check over several settings has no field of its own: blame what was given last, by the one who can mend it.
        named = sorted((k for k in parsed if k in message), key=lambda k: _rank(origins[k]))
        key = str(first["loc"][0]) if first["loc"] else named[0]
        message = message.removeprefix(f"{key}: ")
        shown = f" (got {first['input']!r})" if first["loc"] else ""
        raise _wrong_value(section, key, origins, message[0].lower() + message[1:] + shown) from exc


def _refuse_without_effect(section: str, values: Section, origins: dict[str, str]) -> None:
    """Refuse an option that does nothing beside the others; a config file may well hold settings for several ways."""
    for item in section_fields(section):
        if origins[item.name] != "option":
            continue
        if not (item.metadata["may_be_empty"] or getattr(values, item.name)):
            raise UsageError(f"{option_name(item.name)}: is empty", hint="is a variable of your script not set?")
        if item.metadata["only_for"] is None:
            continue
        other, wanted = item.metadata["only_for"]
        if getattr(values, other) != wanted:
            raise UsageError(
                f"{option_name(item.name)}: has no effect with {option_name(other)} {getattr(values, other)}",
                hint=f"{option_name(other)} {wanted}, or leave it out",
            )


def _rank(origin: str) -> int:
    return 0 if origin == "option" else 1 if origin.startswith(_ENVIRONMENT) else 2


def _wrong_value(section: str, key: str, origins: dict[str, str], problem: str) -> PdmError:
    origin = origins.get(key, "default")
    if origin == "option":
        return UsageError(f"{option_name(key)}: {problem}", hint="--help shows the values it takes")
    where = origin if origin.startswith(_ENVIRONMENT) else f"{origin}: [{section}] {key}"
    return ConfigError(f"{where}: {problem}", hint=f"{option_name(key)} in --help shows the values it takes")


def _not_mistaken(hint: Any, value: object) -> object:
    """Refuse values that pydantic would take for something else: true for 1, 2015 for a second of 1970."""
    if isinstance(value, bool) and hint is not bool:
        raise ValueError(f"{value!r} is not a value for it")
    if datetime in get_args(hint) and isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is not a time, such as 2015-10-01T06:00")
    return value


def _from_text(hint: Any, text: str) -> object:
    """Turn the text of an option or variable into what pydantic takes for the field's type."""
    origin = get_origin(hint)
    if datetime in get_args(hint):
        try:
            return datetime.fromisoformat(text.strip())
        except ValueError:
            raise ValueError(f"{text!r} is not a time, such as 2015-10-01T06:00") from None
    if origin is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if origin is dict:
        return dict(_range_from_text(part) for part in text.split(",") if part.strip())
    return text


def _range_from_text(text: str) -> tuple[str, list[str]]:
    name, equals, span = text.partition("=")
    low, colon, high = span.partition(":")
    if not (equals and colon and name.strip()):
        raise ValueError(f"{text.strip()!r} is not of the form sensor=low:high")
    return name.strip(), [low.strip(), high.strip()]
