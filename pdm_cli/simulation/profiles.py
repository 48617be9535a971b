"""Profiles of simulated fleets: how their components fail, and which signs the sensors give before."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

ProfileName = Literal["step", "ramp", "wear", "spikes", "mixed", "silent"]
Sign = Literal["ramp", "step", "spikes", "none"]


@dataclass(frozen=True, slots=True)
class FailureMode:
    """How a component fails.

    A new component is sound for a random time (Weibull), then damaged until it fails, unless it is replaced before.

    Attributes
    ----------
    component : str
        Name of the component.
    sign : {"ramp", "step", "spikes", "none"}
        Course of the damage in the sensors: slow growth, a lasting change, spikes that become more frequent and higher,
        or nothing at all.
    sound_days : float
        Scale of the Weibull distribution of the time before the damage.
    shape : float
        Its shape: 1 for failures at random, larger for wear.
    damage_days : (float, float)
        Shortest and longest time from the beginning of the damage to the failure; (0, 0) without a sign.
    effects : tuple of (str, float)
        Sensors and their change at the failure under full load, in their units; the clearest sign comes first.
    by_load : bool
        Whether the component ages only as the machine works: days are days at full load.
    announced_share : float
        Share of the failures that are preceded by the component's own error, 4 to 30 h ahead.
    """

    component: str
    sign: Sign
    sound_days: float
    shape: float = 1.0
    damage_days: tuple[float, float] = (0.0, 0.0)
    effects: tuple[tuple[str, float], ...] = ()
    by_load: bool = False
    announced_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Profile:
    """A type of fleet.

    Attributes
    ----------
    modes : tuple of FailureMode
        One per component, sorted by name.
    visit_days : float
        Mean time between planned visits, each of which replaces one component at random.
    outage_days : float
        Mean time between outages in which readings of a sensor, or of all sensors, are missing.
    """

    modes: tuple[FailureMode, ...]
    visit_days: float = 60.0
    outage_days: float = 40.0


_BEARING = FailureMode(
    "bearing", "ramp", 170, 1.2, (7, 21), (("vibration", 2.6), ("temperature", 11.0)), announced_share=0.1
)
_SEAL = FailureMode("seal", "ramp", 180, 1.2, (10, 24), (("pressure", -1.5), ("flow", -16.0)))
_VALVE = FailureMode("valve", "step", 160, 1.2, (4, 9), (("pressure", -1.1), ("flow", -14.0)))
_ROTOR = FailureMode("rotor", "spikes", 170, 1.2, (6, 16), (("vibration", 5.0),))
_BELT = FailureMode("belt", "ramp", 90, 4.0, (5, 12), (("vibration", 2.8), ("current", 10.0)), by_load=True)
_FILTER = FailureMode("filter", "none", 190, 4.0)
_ELECTRICAL = FailureMode("electrical", "none", 300)
_CONTROLLER = FailureMode("controller", "none", 360)
_GEARBOX = FailureMode("gearbox", "ramp", 1500, 1.2, (8, 20), (("vibration", 2.6), ("current", 7.0)))

PROFILES = MappingProxyType(
    {
        "step": Profile((_ELECTRICAL, _VALVE)),
        "ramp": Profile((_BEARING, _ELECTRICAL, _SEAL)),
        "wear": Profile((_BELT, _FILTER), visit_days=80.0),
        "spikes": Profile((_ELECTRICAL, _ROTOR)),
        "mixed": Profile((_BEARING, _ELECTRICAL, _GEARBOX, _ROTOR, _SEAL, _VALVE), visit_days=40.0, outage_days=15.0),
        "silent": Profile((_CONTROLLER, _ELECTRICAL)),
    }
)
"""Name to profile. Seasons, load regimes, irregular visits and missing readings are part of all of them."""
