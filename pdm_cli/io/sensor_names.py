"""Units in the names of sensors: ``VIB_X [mm/s]``, ``Druck (bar)`` and ``Temperatur in °C``."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches

from pdm_cli.text import name_some

# Units and their usual multiples; combinations such as m3/h are found by their parts.
_UNIT_WORDS = (
    "% ‰ ppm ppb pH ° deg Grad rad degC degF °C ℃ °F ℉ C F K m mm cm km µm um nm mil mils in inch ft mg g kg t lb l L "
    "ml mL hl gal ms µs us s sec min h hr d Hz kHz MHz rpm RPM U bar mbar barg bara Pa hPa kPa MPa psi psig atm mmHg N "
    "kN MN Nm kNm J kJ MJ GJ Wh kWh MWh W mW kW MW GW VA kVA MVA var kvar VAr kVAr mV V kV mA A kA Ah ohm Ω kΩ MΩ S mS "
    "µS uS µF mH H mT T dB dBA cP mPas Pas cSt lx lm cd kcal cal BTU hp PS RH rH pcs 1 gpm GPM gph gpd cfm CFM acfm "
    "ACFM scfm SCFM scfh SCFH slpm SLPM lpm LPM sccm inH2O inHg inWC mmH2O mH2O mWC mWS psid psia PSI PSIG torr Torr "
    "kgf lbf ips fpm VAC VDC NTU"
)
_UNITS = frozenset(_UNIT_WORDS.split())
_BRACKETS = re.compile(r"(.+?)\s*\[\s*([^\[\]]+?)\s*\]")
_PARENTHESES = re.compile(r"(.+?)\s*\(\s*([^()]+?)\s*\)")
_IN = re.compile(r"(.+?)\s+in\s+(\S+)")
# An index, as in x[3], is not a unit.
_INDEX = re.compile(r"\d+")
_NO_UNIT = ("-", "--", "1")
_JOINTS = re.compile(r"[/*·.\s]+")
_POWER = re.compile(r"\^?[-+⁻]?[0-9²³¹]*$")


def split_unit(name: str) -> tuple[str, str]:
    """Return a sensor's name without its unit, and the unit; empty if the name has none.

    Anything but an index in brackets at the end is a unit; in parentheses, or after ``in``, only a known one is.

    Examples
    --------
    >>> split_unit("VIB_X [mm/s]"), split_unit("Druck (bar)"), split_unit("Temperatur in °C")
    (('VIB_X', 'mm/s'), ('Druck', 'bar'), ('Temperatur', '°C'))
    >>> split_unit("pressure (inlet)"), split_unit("x[3]")
    (('pressure (inlet)', ''), ('x[3]', ''))
    """
    if (found := _BRACKETS.fullmatch(name)) and not _INDEX.fullmatch(found[2]):
        return found[1], "" if found[2] in _NO_UNIT else found[2]
    for pattern in (_PARENTHESES, _IN):
        if (found := pattern.fullmatch(name)) and _is_unit(found[2]):
            return found[1], found[2]
    return name, ""


def _is_unit(text: str) -> bool:
    if _INDEX.fullmatch(text):
        return False
    parts = [part for part in _JOINTS.split(text) if part]
    return bool(parts) and all(part in _UNITS or _POWER.sub("", part) in _UNITS for part in parts)


def split_units(names: Iterable[str], taken: Collection[str] = ()) -> dict[str, tuple[str, str]]:
    """Return name and unit of each sensor; names that need what looks like a unit to differ from others keep it.

    Parameters
    ----------
    names : iterable of str
        The sensors.
    taken : collection of str
        Names of other columns.
    """
    found = {name: split_unit(name) for name in names}
    alike: dict[str, set[str]] = defaultdict(set)
    for name, (short, _) in found.items():
        # Next to motor (B), motor (A) is not a motor in ampere.
        other = _PARENTHESES.fullmatch(name)
        alike[other[1] if other else short].add(name)
    return {
        name: (name, "") if short in taken or len(alike[short]) > 1 else (short, unit)
        for name, (short, unit) in found.items()
    }


def find_sensor(name: str, columns: Collection[str], units: Mapping[str, str]) -> str:
    """Return the column of a sensor that is named with or without its unit; the name itself if there is none."""
    short, unit = split_unit(name)
    return short if name not in columns and short in columns and unit == units.get(short, "") else name


def propose_sensor(name: str, sensors: Sequence[str]) -> str:
    """Return a hint at the sensor that may be meant by a name, or at all of them."""
    close = get_close_matches(name, sensors, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"--sensors lists some of {name_some(sensors)}"


def find_mixed_units(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the sensors that several columns have in different units, and these units."""
    units: dict[str, list[str]] = defaultdict(list)
    for short, unit in map(split_unit, names):
        if unit:
            units[short].append(unit)
    return {short: sorted(found) for short, found in units.items() if len(found) > 1}
