"""Results of the Python API: output folders whose tables and metrics are read on use."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pdm_cli.errors import UsageError
from pdm_cli.pipeline.stages import CHAIN, STAGES, Stage
from pdm_cli.schema import ANOMALIES, EPISODES, FAILURES, FEATURES, HEALTH, PREDICTIONS, TELEMETRY, TRUTH, UNJUDGED

if TYPE_CHECKING:
    import pandas as pd

_WORKLIST_TIMES = ("datetime", "since", "expected_from", "expected_until")


@dataclass(frozen=True)
class Result:
    """The output folder of a stage.

    Attributes
    ----------
    folder : Path
        The folder; a temporary one is removed with the last result in it.
    """

    folder: Path
    _owner: object = field(default=None, repr=False, compare=False)
    command: ClassVar[str]

    @classmethod
    def stage(cls) -> Stage:
        """Return the stage that writes such folders."""
        return STAGES[cls.command]

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The summary that the command prints with ``--json``."""
        content: dict[str, Any] = json.loads((self.folder / self.stage().summary).read_text(encoding="utf-8"))
        return content

    def read(self, file: str) -> pd.DataFrame:
        """Return a table of the folder, such as ``telemetry.parquet``."""
        import pandas as pd

        return pd.read_parquet(self.folder / file)


@dataclass(frozen=True)
class Simulation:
    """The raw tables of a simulated fleet, from :func:`pdm_cli.simulate`; give it to the stages in place of a folder.

    Attributes
    ----------
    folder : Path
        The folder; a temporary one is removed with the last result in it.
    summary : dict
        The summary that the command prints with ``--json``.
    """

    folder: Path
    summary: dict[str, Any]
    _owner: object = field(default=None, repr=False, compare=False)

    def __fspath__(self) -> str:
        return str(self.folder)

    @cached_property
    def telemetry(self) -> pd.DataFrame:
        """Readings of the sensors."""
        return self._read(TELEMETRY.file)

    @cached_property
    def failures(self) -> pd.DataFrame:
        """Failures up to the last reading."""
        return self._read(FAILURES.file)

    @cached_property
    def truth(self) -> pd.DataFrame:
        """The ground truth: damage, signs without damage, and failures to come."""
        return self._read(TRUTH.file)

    def _read(self, file: str) -> pd.DataFrame:
        import pandas as pd

        return pd.read_parquet(self.folder / file)


@dataclass(frozen=True)
class Prepared(Result):
    """Prepared tables, from :func:`pdm_cli.preprocess`."""

    command = "preprocess"

    @property
    def quality(self) -> dict[str, Any]:
        """The data-quality report, as in ``quality.json``."""
        return self.summary

    @cached_property
    def telemetry(self) -> pd.DataFrame:
        """Cleaned telemetry on a regular time grid."""
        return self.read(TELEMETRY.file)

    @cached_property
    def features(self) -> pd.DataFrame:
        """Rolling features."""
        return self.read(FEATURES.file)


@dataclass(frozen=True)
class Anomalies(Result):
    """Anomalous readings, from :func:`pdm_cli.detect_anomalies`."""

    command = "detect-anomalies"

    @cached_property
    def anomalies(self) -> pd.DataFrame:
        """One row per anomalous reading."""
        return self.read(ANOMALIES.file)

    @cached_property
    def episodes(self) -> pd.DataFrame:
        """One row per episode: consecutive anomalous readings of a machine and sensor."""
        return self.read(EPISODES.file)

    @cached_property
    def unjudged(self) -> pd.DataFrame:
        """Spans of series that were not tested."""
        return self.read(UNJUDGED.file)


@dataclass(frozen=True)
class _Reported(Result):
    """An output folder with a report."""

    @property
    def report(self) -> Path:
        """The report, a self-contained HTML file."""
        from pdm_cli.report.page import REPORT_FILE

        return self.folder / REPORT_FILE


@dataclass(frozen=True)
class Health(_Reported):
    """Health of machines, from :func:`pdm_cli.health`."""

    command = "health"

    @cached_property
    def health(self) -> pd.DataFrame:
        """One row per machine and time: health, alarm, and the sensor with the largest deviation."""
        return self.read(HEALTH.file)

    @cached_property
    def episodes(self) -> pd.DataFrame:
        """Episodes of alarms."""
        from pdm_cli.pipeline.health import EPISODES_FILE

        return self.read(EPISODES_FILE)

    @cached_property
    def ranking(self) -> pd.DataFrame:
        """The machines, those with an alarm first, then by health."""
        import pandas as pd

        from pdm_cli.pipeline.health import RANKING_FILE

        return pd.read_csv(self.folder / RANKING_FILE, parse_dates=["datetime", "since"])


@dataclass(frozen=True)
class _Predicted(_Reported):
    """An output folder with predictions and a report."""

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row per machine, time and component."""
        return self.read(PREDICTIONS.file)


@dataclass(frozen=True)
class Model(_Predicted):
    """A trained model, from :func:`pdm_cli.train`; its predictions are the held-out ones, with labels."""

    command = "train"

    @property
    def metrics(self) -> dict[str, Any]:
        """Held-out metrics, as in ``metrics.json``."""
        return self.summary

    @cached_property
    def leaderboard(self) -> pd.DataFrame:
        """One row per trial of the search."""
        import pandas as pd

        return pd.read_csv(self.folder / "leaderboard.csv")


@dataclass(frozen=True)
class Predictions(_Predicted):
    """Predictions for new data, from :func:`pdm_cli.predict`."""

    command = "predict"

    @cached_property
    def worklist(self) -> pd.DataFrame:
        """Components with an alert, ranked by probability, with reasons."""
        import pandas as pd

        columns = pd.read_csv(self.folder / "worklist.csv", nrows=0).columns
        frame = pd.DataFrame(self.summary["worklist"], columns=columns)
        return frame.astype({name: "datetime64[us]" for name in _WORKLIST_TIMES if name in columns})

    @cached_property
    def episodes(self) -> pd.DataFrame:
        """Episodes of consecutive alerts."""
        return self.read("episodes.parquet")

    @cached_property
    def by_age(self) -> pd.DataFrame:
        """Parts of components that never alert: age, and the probability of a failure by age."""
        import pandas as pd

        return pd.read_csv(self.folder / "by_age.csv")

    @cached_property
    def drift(self) -> pd.DataFrame:
        """Population stability index of each feature."""
        import pandas as pd

        # NA is a valid feature name.
        return pd.read_csv(self.folder / "drift.csv", keep_default_na=False, na_values={"stability_index": [""]})


@dataclass(frozen=True)
class Run:
    """The output folders of all stages, from :func:`pdm_cli.run`.

    Attributes
    ----------
    folder : Path
        The folder above them; a temporary one is removed with the last result in it.
    chain : tuple of Stage
        The stages that ran: the last is that of a model, or of health without failures.
    """

    folder: Path
    _owner: object = field(default=None, repr=False, compare=False)
    chain: tuple[Stage, ...] = field(default=CHAIN, repr=False)

    @cached_property
    def prepared(self) -> Prepared:
        """Result of the first stage."""
        return Prepared(self.folder / Prepared.stage().folder, self._owner)

    @cached_property
    def anomalies(self) -> Anomalies:
        """Result of the second stage."""
        return Anomalies(self.folder / Anomalies.stage().folder, self._owner)

    @cached_property
    def model(self) -> Model:
        """Result of the last stage, with failures.

        Raises
        ------
        UsageError
            If the raw tables had no failures.
        """
        if Model.stage() not in self.chain:
            raise UsageError("run: no model: the raw tables had no failures", hint="use .health of the result")
        return Model(self.folder / Model.stage().folder, self._owner)

    @cached_property
    def health(self) -> Health:
        """Result of the last stage, without failures.

        Raises
        ------
        UsageError
            If the raw tables had failures.
        """
        if Health.stage() not in self.chain:
            raise UsageError(
                "run: no health: the raw tables had failures, so a model was trained",
                hint="use .model of the result, or call pdm_cli.health with its .prepared",
            )
        return Health(self.folder / Health.stage().folder, self._owner)

    @property
    def metrics(self) -> dict[str, Any]:
        """Held-out metrics of the model; an error as of ``model`` if there is none."""
        return self.model.metrics


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a model on new data, from :func:`pdm_cli.evaluate`."""

    metrics: dict[str, Any]


@dataclass(frozen=True)
class Explanation:
    """Reasons of a prediction, from :func:`pdm_cli.explain`; ``summary`` is the JSON object of the command."""

    summary: dict[str, Any]

    @cached_property
    def reasons(self) -> pd.DataFrame:
        """The strongest features: value, usual values and effect on the log-odds."""
        import pandas as pd

        return pd.json_normalize(self.summary["reasons"])
