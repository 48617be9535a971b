"""Settings from option, environment, config file and default, in that order, each with its origin."""

from __future__ import annotations

import functools
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, fields
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from pdm_cli.errors import ConfigError, UsageError
from pdm_cli.settings.database_url import PASSWORD_VARIABLE
from pdm_cli.settings.field import Section, default_of, key_of, option_name
from pdm_cli.settings.model import SECTIONS, Settings, types_of
from pdm_cli.settings.per_table import TABLES
from pdm_cli.text import join_list

if TYPE_CHECKING:
    from pdm_cli.settings.sources import Given, Source

CONFIG_FILE = "pdm-cli.toml"
ENV_PREFIX = "PDM_CLI_"
# Variables with the prefix that are not settings: the config file, and the reference data of the tests.
ENV_RESERVED = frozenset({"PDM_CLI_CONFIG", "PDM_CLI_REFERENCE", PASSWORD_VARIABLE})


@dataclass(frozen=True)
class Resolved:
    """Validated settings and the origin of each.

    Attributes
    ----------
    settings : Settings
        One frozen dataclass per section.
    origins : dict of str to str
        Setting name to ``option``, ``environment: VARIABLE``, ``default`` or the config file's path.
    file : Path or None
        Config file that was read.
    """

    settings: Settings
    origins: dict[str, str]
    file: Path | None = None


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
    """Merge the four sources of settings and validate every value.

    Parameters
    ----------
    options : mapping
        Setting name to the value given on the command line; ``None`` means not given.
    config : str, optional
        Config file; default: ``PDM_CLI_CONFIG``, else ``pdm-cli.toml`` in ``folder`` if it exists.
    environ : mapping, optional
        Environment; default: the process's own.
    folder : Path, optional
        Where to look for the config file; default: the current folder.

    Raises
    ------
    ConfigError
        If the config file cannot be read, has an unknown section or key, or it or the environment holds a wrong value.
    UsageError
        If an option holds a wrong value.
    """
    from pdm_cli.settings.sources import merge

    environ = os.environ if environ is None else environ
    path = find_config(config, environ, folder or Path())
    from_file = _read_config(path) if path else {}
    settings, given = merge([_read_options(options), _read_environment(environ), from_file])
    origins = {item.name: given.get(item.name, "default") for name in SECTIONS for item in section_fields(name)}
    for name in SECTIONS:
        section: Section = getattr(settings, name)
        _reject_without_effect(name, section, origins)
        section.note_given(item.name for item in fields(section) if item.name in given)
    return Resolved(settings, origins, path)


def restore(sections: Mapping[str, Mapping[str, object]], source: str) -> Settings:
    """Validate settings that a file such as a model holds; missing sections have their defaults.

    Raises
    ------
    ConfigError
        If a section, key or value is wrong; the message begins with ``source``.
    """
    from pdm_cli.settings.sources import Given, merge

    stored: dict[str, dict[str, Given]] = {}
    for name, values in sections.items():
        if name not in SECTIONS:
            raise _unknown(f"{source}: unknown section [{name}]", name, list(SECTIONS))
        names = _current_names(name)
        for key in values:
            if key not in names:
                raise _unknown(f"{source}: [{name}] unknown key {key!r}", key, sorted(names))
        stored[name] = {names[key]: Given(value, source) for key, value in values.items() if value is not None}
    return merge([stored])[0]


def use_current_names(given: Mapping[str, Any], sections: Iterable[str]) -> dict[str, Any]:
    """Return options by the current names of their settings.

    Parameters
    ----------
    given : mapping
        Name of a setting, current or former, to the value given for it as an option.
    sections : iterable of str
        Sections that the command has options for: a name may be current in one and former in another.

    Raises
    ------
    UsageError
        If a setting is given by two names.
    """
    owners = _owners_of(sections)
    spelled: dict[str, str] = {}
    for name, value in given.items():
        key = _choose_owner(owners[name], value)
        if key in spelled:
            former, current = sorted((name, spelled[key]), key=lambda one: one == key)
            message = f"{option_name(former)}: is the former name of {option_name(key)}, also given"
            raise UsageError(message, hint=f"drop {option_name(former)}" if current == key else "give one value")
        spelled[key] = name
    return {key: given[name] for key, name in spelled.items()}


def has_effect(item: Field[Any], values: Section) -> bool:
    """Return whether a setting has any effect, given the other settings of its section."""
    only_for = item.metadata["only_for"]
    return only_for is None or bool(getattr(values, only_for[0]) == only_for[1])


def option_words(section: str, values: Section, *, by_model: bool = False) -> list[str]:
    """Return the options that give a section's settings, defaults included: ``["--alpha", "0.005", …]``.

    Parameters
    ----------
    section : str
        Name of the section.
    values : Section
        Its settings. Those that have no effect given the others, flags that are off, and those that were not given
        and follow from the data are left out.
    by_model : bool
        Whether a model's settings replace those that were not given, which are then left out: as options they would
        count as the user's.
    """
    words: list[str] = []
    for item in section_fields(section):
        value = getattr(values, item.name)
        is_empty = value in ("", (), {}) and value == default_of(item)
        is_filled_in = item.metadata["fits_data"] or (by_model and values.is_as_trained)
        is_left_out = item.name not in values.given if is_filled_in else is_empty
        if not has_effect(item, values) or is_left_out or value is None or value is False:
            continue
        words += [option_name(item.name)] if value is True else [option_name(item.name), _to_text(value)]
    return words


def _to_text(value: object) -> str:
    """Return a value as the text of an option."""
    if isinstance(value, tuple):
        return join_list(value)
    if isinstance(value, dict):
        return join_list(f"{name}={low}:{high}" for name, (low, high) in value.items())
    return value.isoformat() if isinstance(value, datetime) else str(value)


def find_config(config: str | None, environ: Mapping[str, str], folder: Path) -> Path | None:
    """Return the config file that option or environment names, else the one in ``folder`` if it exists."""
    named = config or environ.get(f"{ENV_PREFIX}CONFIG")
    if named:
        return Path(named)
    path = folder / CONFIG_FILE
    return path if path.is_file() else None


def _read_options(options: Mapping[str, object]) -> Source:
    return _by_section({key: (value, "option") for key, value in options.items() if value is not None})


def _by_section(values: Mapping[str, tuple[object, str]]) -> Source:
    """Group values and their origins by section."""
    from pdm_cli.settings.sources import Given

    return {
        name: {item.name: Given(*values[item.name]) for item in section_fields(name) if item.name in values}
        for name in SECTIONS
    }


def _read_config(path: Path) -> Source:
    try:
        # Editors on Windows put a byte order mark before the first section.
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as exc:
        raise ConfigError(
            f"{path}: cannot read: {exc.strerror}", hint="check the path given with --config or PDM_CLI_CONFIG"
        ) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: not UTF-8 text", hint="save it with the encoding UTF-8") from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{path}: not valid TOML: {exc}", hint="see sample_config.toml for an example") from exc
    read: dict[str, Mapping[str, Given]] = {}
    sections = {key_of(name): name for name in SECTIONS}
    for key, values in content.items():
        home = section_of(key)
        if home is not None and not isinstance(values, dict):
            raise ConfigError(f"{path}: {key!r} is outside any section", hint=f"move it to section [{key_of(home)}]")
        if key not in sections:
            raise _unknown(f"{path}: unknown section [{key}]", key, list(sections))
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: {key} must be a section", hint=f"write [{key}] and its keys below it")
        read[sections[key]] = _read_section(path, sections[key], values)
    return read


def _read_section(path: Path, section: str, values: Mapping[str, object]) -> dict[str, Given]:
    """Return the settings of a section and of the sections of tables in it, such as ``[import.failures]``."""
    from pdm_cli.settings.sources import Given

    names, table_keys = _current_names(section), _table_keys(section)
    read: dict[str, Given] = {}
    for key, value in values.items():
        if key in table_keys and isinstance(value, dict):
            continue
        if table_keys and isinstance(value, dict) and key not in names:
            home = key_of(section)
            known = [f"{home}.{table}" for table in table_keys]
            raise _unknown(f"{path}: unknown section [{home}.{key}]", f"{home}.{key}", known)
        _check_key(path, section, key, values)
        read[names[key]] = Given(value, str(path), key)
    for table, keys in table_keys.items():
        own = values.get(table)
        for key, value in own.items() if isinstance(own, dict) else ():
            place = f"{path}: [{key_of(section)}.{table}]"
            if key not in keys:
                raise _unknown_table_key(place, section, key, list(keys))
            name, is_dict = keys[key]
            given = read[name].value if name in read else {}
            if not is_dict:
                if name in read:
                    raise ConfigError(f"{place} {key}: {key_of(name)} is given twice", hint="remove one of them")
                read[name] = Given(value, str(path), f"{table}.{key}")
                continue
            # A single date format is that of all other tables.
            given = given if isinstance(given, dict) else {"": given}
            if table in given:
                raise ConfigError(f"{place} {key}: is given twice", hint=f"remove it from [{key_of(section)}]")
            read[name] = Given({**given, table: value}, str(path), key)
    return read


@functools.cache
def _table_keys(section: str) -> dict[str, dict[str, tuple[str, bool]]]:
    """Return for each raw table the keys of its own section, with their setting and whether all tables have it."""
    items = [item for item in section_fields(section) if item.metadata["table_key"]]
    found: dict[str, dict[str, tuple[str, bool]]] = {table: {} for table in TABLES if items}
    for item in items:
        table, _, key = item.metadata["table_key"].rpartition(".")
        for own in [table] if table else TABLES:
            found[own][key] = (item.name, not table)
    return found


def _unknown_table_key(place: str, section: str, key: str, known: list[str]) -> ConfigError:
    message = f"{place} unknown key {key!r}"
    if key in _current_names(section):
        return ConfigError(message, hint=f"move it to section [{key_of(section)}]")
    return _unknown(message, key, known)


def _check_key(path: Path, section: str, key: str, given: Iterable[str]) -> None:
    """Reject an unknown key, and a former name next to the current one."""
    names = _current_names(section)
    current = names.get(key)
    if current is not None:
        if current != key and current in given:
            hint = "remove one of them"
            raise ConfigError(
                f"{path}: [{key_of(section)}] {key!r} is the former name of {current!r}, also given", hint=hint
            )
        return
    message = f"{path}: [{key_of(section)}] unknown key {key!r}"
    home = section_of(key)
    if home is not None:
        raise ConfigError(message, hint=f"move it to section [{key_of(home)}]")
    known = [key_of(item.name) for item in section_fields(section)]
    others = [key_of(item.name) for name in SECTIONS if name != section for item in section_fields(name)]
    near = get_close_matches(key, [*known, *others], n=1, cutoff=0.75)
    if near and near[0] not in known:
        home = key_of(section_of(near[0]) or "")
        raise ConfigError(message, hint=f"did you mean {near[0]!r} in section [{home}]?")
    raise _unknown(message, key, known)


def section_of(key: str) -> str | None:
    """Return the section of a setting, or None."""
    return next((name for name in SECTIONS if key in {key_of(item.name) for item in section_fields(name)}), None)


def _current_names(section: str) -> dict[str, str]:
    """Return each name of the settings of a section, current or former, with the current one."""
    return {
        name: item.name for item in section_fields(section) for name in (*item.metadata["old_names"], key_of(item.name))
    }


def _read_environment(environ: Mapping[str, str]) -> Source:
    owners = _owners()
    # CI systems set variables to nothing to leave them unset.
    ours = {name for name, value in environ.items() if name.startswith(ENV_PREFIX) and value} - ENV_RESERVED
    for variable in ours - owners.keys():
        raise _unknown_variable(variable, owners)
    found: dict[str, str] = {}
    for variable, items in owners.items():
        if value := environ.get(variable):
            key = _choose_owner(items, value)
            first = found.setdefault(key, variable)
            if first != variable and variable.startswith(ENV_PREFIX):
                message = f"environment: {variable} is the former name of {_env_name(key)}, also set"
                raise ConfigError(message, hint=f"unset {variable}")
    return _by_section({key: (environ[variable], f"environment: {variable}") for key, variable in found.items()})


@functools.cache
def _owners() -> dict[str, tuple[_Owner, ...]]:
    """Return each variable with the settings that it may set, in the order in which they count."""
    owners = {_env_name(name): named for name, named in _owners_of(SECTIONS).items()}
    for section in SECTIONS:
        for item in section_fields(section):
            for variable in item.metadata["variables"]:
                owners[variable] = (*owners.get(variable, ()), _Owner(section, item))
    return owners


def _owners_of(sections: Iterable[str]) -> dict[str, tuple[_Owner, ...]]:
    """Return each name, current or former, with its settings: the one that has it now first."""
    owners: dict[str, tuple[_Owner, ...]] = {}
    named = [_Owner(section, item) for section in sections for item in section_fields(section)]
    current = [(one.item.name, one) for one in named]
    former = [(name, one) for one in named for name in one.item.metadata["old_names"]]
    for name, one in (*current, *former):
        owners[name] = (*owners.get(name, ()), one)
    return owners


class _Owner(NamedTuple):
    section: str
    item: Field[Any]


def _choose_owner(owners: tuple[_Owner, ...], value: object) -> str:
    """Return the setting that a name means: ``threshold`` with the value ``p95`` still is anomaly_threshold."""
    for one in owners[1:]:
        if value in get_args(types_of(one.section)[one.item.name]):
            return one.item.name
    return owners[0].item.name


def _env_name(key: str) -> str:
    return ENV_PREFIX + key_of(key).upper()


def _unknown_variable(variable: str, known: Iterable[str]) -> ConfigError:
    names = [name.removeprefix(ENV_PREFIX) for name in known if name.startswith(ENV_PREFIX)]
    close = get_close_matches(variable.removeprefix(ENV_PREFIX), names, n=1)
    hint = f"did you mean {ENV_PREFIX + close[0]!r}?" if close else "unset it; sample_config.toml lists all settings"
    return ConfigError(f"environment: unknown setting {variable}", hint=hint)


def _unknown(message: str, word: str, known: list[str]) -> ConfigError:
    close = get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
    return ConfigError(message, hint=hint)


def _is_empty(value: object) -> bool:
    return not str(value).strip() if isinstance(value, (str, int, float)) else not value


def _reject_without_effect(section: str, values: Section, origins: Mapping[str, str]) -> None:
    """Reject an option that has no effect next to the others; a config file may hold settings for several modes."""
    for item in section_fields(section):
        if origins[item.name] != "option":
            continue
        option = option_name(item.name)
        if not item.metadata["may_be_empty"] and _is_empty(getattr(values, item.name)):
            raise UsageError(f"{option}: is empty", hint="unset shell variable?")
        if not has_effect(item, values):
            other, required = item.metadata["only_for"]
            actual = f"{option_name(other)} {getattr(values, other)}"
            hint = f"use {option_name(other)} {required}, or drop {option}"
            raise UsageError(f"{option}: has no effect with {actual}", hint=hint)
