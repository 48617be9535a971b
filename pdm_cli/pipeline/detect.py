"""Detect anomalies in prepared telemetry, row group by row group."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdm_cli.errors import DataError, NotEnoughData
from pdm_cli.pipeline.stages import SHORTAGE
from pdm_cli.settings.model import DetectParams
from pdm_cli.units import Units, using

if TYPE_CHECKING:
    import pandas as pd

    from pdm_cli.anomalies.detectors import SeriesResult
    from pdm_cli.anomalies.windows import DetectWindows
    from pdm_cli.pipeline.execute import Task
    from pdm_cli.preparation.coverage import Shortage


_WORST_MACHINES = 5
# A worker process takes longer to start than to work through less than this.
_BYTES_PER_WORKER = 10_000_000
# With a smaller share of the readings tested, almost none is.
_FEW_TESTED = 0.1
# Episodes in the summary; all are in a table. The first ones are drawn.
_MOST_EPISODES, _MOST_DRAWN = 200, 10
_COUNTS = ("series", "judged", "unjudged", "anomalies", "skipped", "capped", "untested_pieces", "judged_by_fleet")


@dataclass(frozen=True)
class Detected:
    """The anomalies of a row group, their episodes, the spans not tested, and the outcome of each series."""

    anomalies: pd.DataFrame
    episodes: pd.DataFrame
    unjudged: pd.DataFrame
    found: list[SeriesResult]


def detect(task: Task) -> dict[str, Any]:
    """Write the tables of anomalies, episodes and spans not tested, and the report's data; return the summary."""
    from pdm_cli.pipeline.episode_courses import write_courses

    summary = detect_prepared(task, hint="", with_fleet=True)
    write_courses(task, summary["episodes"][:_MOST_DRAWN])
    return summary


def detect_prepared(task: Task, *, hint: str, with_fleet: bool = False) -> dict[str, Any]:
    """Detect anomalies as :func:`detect` does.

    ``hint`` says what to do if almost nothing is tested, where the settings are those of a model. Features are from
    anomalies of the machine itself only; ``with_fleet`` adds those that the fleet shows.
    """
    from pdm_cli.pipeline.fleet_profiles import learned_profiles
    from pdm_cli.pipeline.parallel import process_pool
    from pdm_cli.schema import TELEMETRY

    params, folder = task.settings.detect, task.inputs["prepared"]
    # The workers start first, so that they import at the same time as this process.
    worthwhile = _count_worthwhile(folder / TELEMETRY.file)
    with (
        process_pool(params.jobs or worthwhile, early=worthwhile, warm_up=warm_up) as map_ordered,
        ExitStack() as stack,
    ):
        from pdm_cli.anomalies.fleet_profile import FEWEST_MACHINES
        from pdm_cli.io import parquet

        path = parquet.require_file(folder, TELEMETRY)
        step_us = parquet.read_step(path)
        machines, fleet = _count_machines(path), None
        # A machine needs enough others.
        if with_fleet and params.mode == "causal" and machines > FEWEST_MACHINES:
            fleet = stack.enter_context(learned_profiles(path, step_us, params, map_ordered))
        work = partial(detect_row_group, path, step_us, params, task.units, fleet)
        return _write(task, machines, step_us, map_ordered(work, parquet.count_row_groups(path)), hint)


def _write(
    task: Task,
    machines: int,
    step_us: int,
    results: Iterable[Detected],
    hint: str,
) -> dict[str, Any]:
    from pdm_cli.anomalies.detectors import DETECTORS
    from pdm_cli.anomalies.windows import choose_windows
    from pdm_cli.io import parquet
    from pdm_cli.schema import ANOMALIES, EPISODES, UNJUDGED

    params = task.settings.detect
    judged_by = _judged_by(params, choose_windows(step_us, params))
    is_causal = DETECTORS[params.mode].is_causal
    tally = _Tally()
    with (
        parquet.TableWriter(task.out / ANOMALIES.file, _metadata(task, is_causal=is_causal)) as writer,
        parquet.TableWriter(task.out / EPISODES.file) as merged,
        parquet.TableWriter(task.out / UNJUDGED.file) as rest,
        task.progress.track("detect-anomalies: machines", machines) as advance,
    ):
        for detected in results:
            _check_judged(detected.found, strict=params.strict)
            writer.write(detected.anomalies)
            merged.write(detected.episodes)
            rest.write(detected.unjudged)
            advance(tally.add(detected))
    return {
        "schema": "pdm.anomalies/1",
        "causal": is_causal,
        "mode": params.mode,
        **judged_by,
        **tally.summary(),
        **task.units.summary(),
        **_report_shortage(tally.find_shortage(), hint, params, task),
    }


def _metadata(task: Task, *, is_causal: bool) -> dict[str, str]:
    from pdm_cli.pipeline.execute import kept_settings

    # A model needs these settings to detect anomalies in new data in the same way.
    settings = json.dumps(kept_settings(task.settings, "detect"))
    metadata = {"causal": "true" if is_causal else "false", "mode": task.settings.detect.mode, "settings": settings}
    return metadata | task.units.metadata()


def _report_shortage(shortage: Shortage | None, hint: str, params: DetectParams, task: Task) -> dict[str, str]:
    """Warn if almost nothing is tested, and return the entry of the summary.

    Raises
    ------
    NotEnoughData
        If nothing is tested, unless that is allowed.
    """
    if shortage is None:
        return {}
    shortage = replace(shortage, hint=hint or shortage.hint)
    if shortage.is_total and not params.allow_untested:
        hint = f"{shortage.hint}; or allow it with --allow-untested"
        raise NotEnoughData(f"telemetry.parquet: {shortage.message}", hint=hint)
    task.progress.warn(f"detect-anomalies: {shortage.warning()}")
    return {SHORTAGE: shortage.warning()}


def _judged_by(params: DetectParams, windows: DetectWindows) -> dict[str, float]:
    """Return the settings whose values depend on the data."""
    common = {"smooth_hours": windows.smooth_hours, "period_hours": windows.period_hours}
    own = {"window_days": windows.window_days} if params.mode == "causal" else {"max_anoms": params.max_anoms}
    return {**common, **own}


def warm_up() -> None:
    """Import what :func:`detect_row_group` needs."""
    import pdm_cli.anomalies.detectors
    import pdm_cli.io.parquet
    import pdm_cli.preparation.cleaning  # noqa: F401 - the import is the point


def detect_row_group(
    path: Path, step_us: int, params: DetectParams, units: Units, profiles: Path | None, group: int
) -> Detected:
    """Return what is found in a row group, given the file with the profiles of the fleet."""
    from pdm_cli.anomalies.detectors import find_anomalies, list_unjudged
    from pdm_cli.anomalies.episodes import find_episodes
    from pdm_cli.anomalies.windows import choose_windows
    from pdm_cli.io import parquet
    from pdm_cli.pipeline.fleet_profiles import load_profiles
    from pdm_cli.preparation.cleaning import check_prepared
    from pdm_cli.schema import MACHINE

    telemetry = parquet.read_row_group(path, group)
    check_prepared(telemetry, step_us)
    fleet = None if profiles is None else load_profiles(profiles)
    # Reasons name times; this may be another process.
    with using(units):
        anomalies, found = find_anomalies(telemetry, step_us=step_us, params=params, fleet=fleet)
    # Smoothed readings at most a window apart have readings in common.
    reach_us = choose_windows(step_us, params).smooth * step_us
    episodes = find_episodes(anomalies, reach_us=reach_us, step_us=step_us)
    return Detected(anomalies, episodes, list_unjudged(found, telemetry[MACHINE].dtype), found)


def _count_worthwhile(path: Path) -> int:
    """Return how many processes pay off: at most one per core, by the size of the file.

    To open the file would take an import that the workers need not wait for.
    """
    size = path.stat().st_size if path.is_file() else 0
    return max(1, min(os.cpu_count() or 1, size // _BYTES_PER_WORKER))


def _check_judged(found: list[SeriesResult], *, strict: bool) -> None:
    """Raise an error for series that were skipped, if ``--strict``."""
    for item in found:
        if strict and item.reason is not None:
            raise DataError(
                f"telemetry.parquet: machine {item.machine}, {item.sensor}: not tested: {item.reason}",
                hint="drop --strict to skip such series",
            )


def _count_machines(path: Path) -> int:
    """Return the number of machines.

    Raises
    ------
    NotEnoughData
        If there is none.
    DataError
        If one is in two row groups, so that its series would be cut.
    """
    from pdm_cli.io import parquet
    from pdm_cli.schema import MACHINE

    groups = (parquet.read_row_group(path, group, [MACHINE]) for group in range(parquet.count_row_groups(path)))
    machines = Counter(machine for group in groups for machine in group[MACHINE].unique().tolist())
    if not machines:
        raise NotEnoughData(f"{path.name}: no rows", hint="run pdm preprocess to create prepared tables")
    machine, count = machines.most_common(1)[0]
    if count > 1:
        raise DataError(
            f"{path.name}: machine {machine} is in {count} row groups",
            hint="run pdm preprocess to create prepared tables",
        )
    return len(machines)


class _Tally:
    """Counts by sensor and machine, the most severe episodes, and the series that were skipped."""

    def __init__(self) -> None:
        self._episodes = 0
        self._top: list[dict[str, Any]] = []
        self._sensors: dict[str, dict[str, int]] = {}
        self._machines: Counter[Any] = Counter()
        self._skipped: list[dict[str, Any]] = []

    def add(self, detected: Detected) -> int:
        """Count a row group's series and episodes, and return its number of machines."""
        from pdm_cli.anomalies.episodes import keep_top, list_episodes

        entries, found = list_episodes(detected.episodes), detected.found
        self._episodes += len(entries)
        self._top = keep_top([*self._top, *entries], _MOST_EPISODES)
        for item in found:
            facts = self._sensors.setdefault(item.sensor, dict.fromkeys(_COUNTS, 0))
            facts["judged"] += item.judged
            unjudged = int(item.unjudged[:, 2].sum())
            facts["unjudged"] += unjudged
            facts["anomalies"] += len(item.times)
            facts["capped"] += item.is_capped
            facts["untested_pieces"] += item.untested_pieces
            facts["judged_by_fleet"] += item.judged_by_fleet
            self._machines[item.machine] += len(item.times)
            if item.reason is None:
                facts["series"] += 1
                continue
            facts["skipped"] += 1
            self._skipped.append(
                {"machineID": item.machine, "sensor": item.sensor, "readings": unjudged, "reason": item.reason}
            )
        return len({item.machine for item in found})

    def find_shortage(self) -> Shortage | None:
        """Return why almost no reading is tested, if so."""
        from pdm_cli.anomalies.skip_reasons import AT_START, suggest_option
        from pdm_cli.preparation.coverage import Shortage

        sensors = self._sensors.values()
        tested, untested = (sum(facts[name] for facts in sensors) for name in ("judged", "unjudged"))
        if tested > _FEW_TESTED * (tested + untested):
            return None
        skipped, total = len(self._skipped), len(self._skipped) + sum(facts["series"] for facts in sensors)
        amount = (
            f"no reading of {total:,} series" if not tested else f"only {tested:,} of {tested + untested:,} readings"
        )
        if not skipped:
            return Shortage(f"{amount} is tested: {AT_START}", suggest_option("window"), is_total=not tested)
        row = self._skipped[0]
        where = f"machine {row['machineID']}, {row['sensor']}"
        message = f"{amount} {'is' if not tested else 'are'} tested; {skipped:,} series skipped, first {where}: "
        return Shortage(message + row["reason"], suggest_option(row["reason"]), is_total=not tested)

    def summary(self) -> dict[str, Any]:
        """Return the counts in JSON types."""
        worst = [(machine, count) for machine, count in self._machines.most_common(_WORST_MACHINES) if count]
        return {
            "sensors": {
                sensor: {**facts, "share": facts["anomalies"] / facts["judged"] if facts["judged"] else None}
                for sensor, facts in self._sensors.items()
            },
            "machines": [{"machineID": machine, "anomalies": count} for machine, count in worst],
            "episode_count": self._episodes,
            "episodes": [{"rank": rank, **entry} for rank, entry in enumerate(self._top, 1)],
            "skipped": self._skipped,
        }
