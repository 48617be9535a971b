"""Everything that can go wrong for a reason the user can mend.

Each family owns its exit code; :mod:`pdm_cli.cli.app` is the one place that turns an error into a line and a code.
"""

from __future__ import annotations

from typing import ClassVar

# 128 and the number of SIGINT, as shells have it: Ctrl-C.
EXIT_INTERRUPTED = 130


class PdmError(Exception):
    """An error with one line for the user and, where there is one, the way out.

    Parameters
    ----------
    message : str
        One line that names the file, table, column, first bad row or option.
    hint : str, optional
        What to type or change.
    details : object
        Machine-readable facts for ``--json``; values must be JSON types.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details


class UsageError(PdmError):
    """The command line asks for something that cannot be."""

    code = "usage"
    exit_code = 2


class ConfigError(PdmError):
    """The config file or an environment variable has a wrong key or value."""

    code = "config"
    exit_code = 3


class DataError(PdmError):
    """A table holds something that cannot be worked with."""

    code = "data"
    exit_code = 4


class SchemaError(DataError):
    """A table, column or type is missing or not as the schema says."""

    code = "schema"


class NotEnoughData(DataError):
    """The table is sound but too small for what is asked."""

    code = "not_enough_data"


class TryAgain(PdmError):
    """Something outside pdm is in the way for now: a full disk, another pdm at work in the same folder."""

    code = "try_again"
    exit_code = 75


class ModelError(PdmError):
    """A model folder cannot be used."""

    code = "model"
    exit_code = 5


class FeatureMismatch(ModelError):
    """The data is not of the kind that the model was trained on."""

    code = "feature_mismatch"


class RemoteError(PdmError):
    """Azure refused, or does not know, what was asked for."""

    code = "remote"
    exit_code = 6


class AuthError(RemoteError):
    """Signing in failed."""

    code = "auth"


class JobFailed(PdmError):
    """A job on Azure ended in an error."""

    code = "job_failed"
    exit_code = 7


class JobCancelled(PdmError):
    """A job on Azure was cancelled."""

    code = "job_cancelled"
    exit_code = 8


class JobNotFinished(PdmError):
    """A job on Azure is not finished, or was not within the time given."""

    code = "job_not_finished"
    exit_code = 9


class GateNotMet(PdmError):
    """What was asked for with ``--fail-on`` does not hold."""

    code = "gate_not_met"
    exit_code = 10
