"""The Python API: the stages as functions on folders or DataFrames that return result objects.

Settings are keyword arguments with the names of the options (``horizon_hours=24`` for ``--horizon-hours 24``). Those
not given come from the environment, the config file (``config="pdm-cli.toml"``) and the defaults, as for the commands.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from pdm_cli.errors import DataError, PdmError, UsageError
from pdm_cli.pipeline.results import (
    Anomalies,
    Evaluation,
    Explanation,
    Health,
    Model,
    Predictions,
    Prepared,
    Result,
    Run,
    Simulation,
)
from pdm_cli.pipeline.stages import CHAIN, HEALTH_CHAIN, STAGES, Stage, list_sections
from pdm_cli.progress import Progress, Silent
from pdm_cli.schema import RAW_TABLES

if TYPE_CHECKING:
    import pandas as pd

    from pdm_cli.settings.model import Settings
    from pdm_cli.simulation.profiles import ProfileName

Folder: TypeAlias = str | PathLike[str]
Data: TypeAlias = "Folder | Mapping[str, pd.DataFrame]"

R = TypeVar("R", bound=Result)
_DATA_HINT = "give a folder, or DataFrames: telemetry=…, failures=…"
_TABLES = tuple(table.name for table in RAW_TABLES)


def preprocess(
    data: Data | None = None,
    *,
    out: Folder | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Prepared:
    """Clean raw tables, put telemetry on a regular grid, and compute rolling features.

    Parameters
    ----------
    data : folder or dict of DataFrame, optional
        Raw tables: ``telemetry``, and optionally ``errors``, ``maint``, ``failures`` and ``machines``. DataFrames may
        also be given as keywords: ``preprocess(telemetry=…, failures=…)``.
    out : folder, optional
        Output folder; default: a temporary one that exists as long as the result.
    overwrite : bool
        Replace earlier output of the same stage in ``out``.
    progress : Progress, optional
        Receives progress lines and warnings; default: none.
    options
        Settings, raw tables, and ``config``, the path of a config file.

    Raises
    ------
    PdmError
        As the command: ``UsageError``, ``ConfigError``, ``DataError`` …
    """
    call = _Call(STAGES["preprocess"].sections, options)
    with call.data_folder(data) as folder:
        return _execute(Prepared, {"data": folder}, call.settings, out, overwrite=overwrite, progress=progress)


def detect_anomalies(
    prepared: Folder | Prepared,
    *,
    out: Folder | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Anomalies:
    """Detect anomalous readings of every machine and sensor with Seasonal Hybrid ESD.

    Parameters
    ----------
    prepared : folder or Prepared
        Output of :func:`preprocess`.
    out, overwrite, progress, options
        As for :func:`preprocess`.
    """
    settings = _Call(STAGES["detect-anomalies"].sections, options).settings
    inputs = {"prepared": _folder_of(prepared)}
    return _execute(Anomalies, inputs, settings, out, overwrite=overwrite, progress=progress)


def health(
    prepared: Folder | Prepared,
    *,
    out: Folder | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Health:
    """Measure the health of machines without a log of failures, and rank those with an alarm.

    Parameters
    ----------
    prepared : folder or Prepared
        Output of :func:`preprocess`.
    out, overwrite, progress, options
        As for :func:`preprocess`.
    """
    settings = _Call(STAGES["health"].sections, options).settings
    inputs = {"prepared": _folder_of(prepared)}
    return _execute(Health, inputs, settings, out, overwrite=overwrite, progress=progress)


def train(
    prepared: Folder | Prepared,
    anomalies: Folder | Anomalies | None = None,
    *,
    out: Folder | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Model:
    """Train a model that predicts which component fails within the horizon, and evaluate it on held-out data.

    Parameters
    ----------
    prepared : folder or Prepared
        Output of :func:`preprocess`.
    anomalies : folder or Anomalies, optional
        Output of :func:`detect_anomalies`; causal ones become features.
    out, overwrite, progress, options
        As for :func:`preprocess`.
    """
    settings = _Call(STAGES["train"].sections, options).settings
    inputs = {"prepared": _folder_of(prepared), "anomalies": None if anomalies is None else _folder_of(anomalies)}
    return _execute(Model, inputs, settings, out, overwrite=overwrite, progress=progress)


def predict(
    data: Data | None = None,
    *,
    model: Folder | Model,
    out: Folder | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Predictions:
    """Predict failures from new raw tables: probabilities, alerts, and a ranked work list.

    Parameters
    ----------
    data
        As for :func:`preprocess`.
    model : folder or Model
        Output of :func:`train`.
    out, overwrite, progress, options
        As for :func:`preprocess`.
    """
    call = _Call(STAGES["predict"].sections, options)
    with call.data_folder(data) as folder:
        inputs = {"data": folder, "model": _folder_of(model)}
        return _execute(Predictions, inputs, call.settings, out, overwrite=overwrite, progress=progress)


def evaluate(
    data: Data | None = None, *, model: Folder | Model, progress: Progress | None = None, **options: Any
) -> Evaluation:
    """Score a model on raw tables with known failures: other machines, or later time.

    Parameters
    ----------
    data
        As for :func:`preprocess`; with ``failures``.
    model : folder or Model
        Output of :func:`train`.
    progress, options
        As for :func:`preprocess`.

    Raises
    ------
    GateNotMet
        If a condition of ``fail_on`` holds, such as ``fail_on=["ap<0.9"]``.
    """
    from pdm_cli.pipeline.evaluate import check_gates, parse_gates
    from pdm_cli.pipeline.evaluate import evaluate as evaluate_folder

    progress = progress or Silent()
    call = _Call(("columns", "preprocess", "alerts", "evaluate"), options)
    gates = parse_gates(call.settings.evaluate.fail_on)
    with call.data_folder(data) as folder:
        metrics = evaluate_folder(folder, _folder_of(model), settings=call.settings, progress=progress)
    error = check_gates(gates, metrics, progress)
    if error is not None:
        raise error
    return Evaluation(metrics)


def explain(
    data: Data | None = None,
    *,
    model: Folder | Model,
    machine: object,
    at: object = None,
    component: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Explanation:
    """Explain a prediction: top features, their typical values and the preceding days.

    Parameters
    ----------
    data
        As for :func:`preprocess`.
    model : folder or Model
        Output of :func:`train`.
    machine : object
        The machine.
    at : str or datetime, optional
        The time, UTC unless it has a zone; default: the machine's last.
    component : str, optional
        The component; default: the most probable to fail.
    progress, options
        As for :func:`preprocess`; ``top`` is the number of features (default: 8).
    """
    from pdm_cli.pipeline.explain import Question, parse_time
    from pdm_cli.pipeline.explain import explain as explain_folder

    top = options.pop("top", Question.top)
    call = _Call(("columns", "preprocess", "alerts"), options)
    question = Question(str(machine), None if at is None else parse_time(str(at)), component, top)
    with call.data_folder(data) as folder:
        model = _folder_of(model)
        summary = explain_folder(folder, model, question, settings=call.settings, progress=progress or Silent())
    return Explanation(summary)


def run(
    data: Data | None = None,
    *,
    out: Folder | None = None,
    force: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Run:
    """Take raw tables through all stages to a trained model; unchanged stages in ``out`` are reused.

    Without ``failures``, the last stage is :func:`health` instead of :func:`train`.

    Parameters
    ----------
    data
        As for :func:`preprocess`.
    out : folder, optional
        Folder for one output folder per stage; default: a temporary one that exists as long as the result.
    force : bool
        Run every stage again, even if unchanged.
    progress, options
        As for :func:`preprocess`.
    """
    from pdm_cli.pipeline.run import find_chain, run_stages

    call = _Call(list_sections((*CHAIN, *HEALTH_CHAIN)), options)
    target, owner = _target(out)
    with call.data_folder(data) as folder:
        run_stages(folder, str(target), settings=call.settings, progress=progress or Silent(), force=force)
        chain = find_chain(Path(folder))
    return Run(target, owner, chain)


def simulate(
    *,
    machines: int = 100,
    days: int = 365,
    seed: int = 0,
    profile: ProfileName | None = None,
    out: Folder | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Simulation:
    """Simulate a fleet with known failures: raw tables and their ground truth.

    Parameters
    ----------
    machines, days, seed : int
        Size of the fleet, length of its telemetry, and random seed.
    profile : str, optional
        Type of the fleet: ``step``, ``ramp``, ``wear``, ``spikes``, ``mixed`` or ``silent``; default: failures that
        sensors and errors show two days ahead.
    out, overwrite, progress
        As for :func:`preprocess`.

    Raises
    ------
    UsageError
        If an argument is out of range, or the output folder may not be written.
    """
    from pdm_cli.io import output_folder
    from pdm_cli.pipeline.simulate import simulate_into
    from pdm_cli.simulation.fleet import check_fleet

    try:
        check_fleet(machines=machines, days=days, seed=seed, profile=profile)
    except ValueError as error:
        raise UsageError(str(error)) from error
    target, owner = _target(out)
    output_folder.check_free(target, overwrite=overwrite, by="simulate")
    summary = simulate_into(
        target, machines=machines, days=days, seed=seed, profile=profile, progress=progress or Silent()
    )
    return Simulation(target, summary, owner)


class _Call:
    """The options of a call, split into settings and raw tables."""

    def __init__(self, sections: Sequence[str], options: Mapping[str, Any]) -> None:
        from pdm_cli.settings.load import resolve

        self._tables = {name: options[name] for name in _TABLES if options.get(name) is not None}
        given = {name: value for name, value in options.items() if name not in (*_TABLES, "config")}
        for name in given:
            _check_known(name, sections)
        config = options.get("config")
        self.settings: Settings = resolve(given, config=None if config is None else fspath(config)).settings

    @contextmanager
    def data_folder(self, data: Data | None) -> Iterator[str]:
        """Yield the folder of the raw tables; DataFrames are written to a temporary one."""
        if isinstance(data, (str, PathLike)):
            if self._tables:
                raise UsageError("give either a folder or DataFrames", hint=f"leave out {', '.join(self._tables)}")
            yield fspath(data)
            return
        tables = {**_check_tables(data), **self._tables}
        if not tables:
            raise UsageError("no raw tables", hint=_DATA_HINT)
        with tempfile.TemporaryDirectory(prefix="pdm-data-") as folder:
            _write_tables(tables, Path(folder))
            try:
                yield folder
            except PdmError as error:
                raise _without_folder(error, folder) from error


def _check_tables(data: object) -> Mapping[str, pd.DataFrame]:
    """Return raw tables that are neither a folder nor keywords."""
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise UsageError(f"data is a {type(data).__name__}, expected a folder or a dict of DataFrames", hint=_DATA_HINT)
    return {name: frame for name, frame in data.items() if frame is not None}


def _without_folder(error: PdmError, folder: str) -> PdmError:
    """Return an error about DataFrames without the temporary folder that they were written to."""

    def clean(text: str) -> str:
        return text.replace(f"{folder}{os.sep}", "").replace(folder, "the DataFrames")

    return type(error)(clean(error.message), hint=None if error.hint is None else clean(error.hint), **error.details)


def _check_known(name: str, sections: Sequence[str]) -> None:
    from pdm_cli.settings.field import key_of
    from pdm_cli.settings.load import section_fields
    from pdm_cli.settings.model import SECTIONS

    owners = {item.name: section for section in SECTIONS for item in section_fields(section)}
    known = [key for key, section in owners.items() if section in sections]
    if name not in known:
        near = get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        if name in owners:
            hint = f"it is a setting of section [{key_of(owners[name])}], which this function does not use"
        raise UsageError(f"unknown setting {name!r}", hint=hint)


def _write_tables(tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    import pandas as pd
    import pyarrow as pa

    for name, frame in tables.items():
        if name not in _TABLES:
            near = get_close_matches(name, _TABLES, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the raw tables are {', '.join(_TABLES)}"
            raise UsageError(f"unknown table {name!r}", hint=hint)
        if not isinstance(frame, pd.DataFrame):
            raise UsageError(f"{name} is a {type(frame).__name__}, expected a DataFrame", hint=_DATA_HINT)
        try:
            frame.to_parquet(folder / f"{name}.parquet", index=False)
        except (pa.ArrowException, ValueError) as exc:
            reason = " ".join(map(str, exc.args))
            raise DataError(
                f"{name}: not a table: {reason}", hint="give one type per column, and unique names"
            ) from exc


def _folder_of(value: Folder | Result) -> str:
    if isinstance(value, Result):
        return str(value.folder)
    if isinstance(value, (str, PathLike)):
        return fspath(value)
    hint = "give the result of the stage before, or its folder"
    raise UsageError(f"{type(value).__name__} is not a folder or a result", hint=hint)


def _target(out: Folder | None) -> tuple[Path, object]:
    """Return the output folder, and for a temporary one an object that removes it when it is gone."""
    if out is not None:
        return Path(fspath(out)), None
    owner = _TemporaryFolder(Path(tempfile.mkdtemp(prefix="pdm-")))
    return owner.path / "out", owner


@dataclass(eq=False)
class _TemporaryFolder:
    """A folder that is removed with the last result in it."""

    path: Path
    finalizer: Any = field(init=False)

    def __post_init__(self) -> None:
        self.finalizer = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def _execute(
    kind: type[R],
    inputs: Mapping[str, str | None],
    settings: Settings,
    out: Folder | None,
    *,
    overwrite: bool,
    progress: Progress | None,
) -> R:
    from pdm_cli.pipeline.execute import execute

    target, owner = _target(out)
    stage: Stage = kind.stage()
    execute(stage, inputs, str(target), settings=settings, progress=progress or Silent(), overwrite=overwrite)
    return kind(target, owner)
