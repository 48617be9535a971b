"""Errors that the user can fix.

Each family has its own exit code; :mod:`pdm_cli.cli.app` alone prints errors and exits.
"""

from __future__ import annotations

from typing import ClassVar

# Ctrl-C: 128 plus the number of SIGINT, as in shells.
EXIT_INTERRUPTED = 130


class PdmError(Exception):
    """An error with one line for the user and, if possible, a hint.

    Parameters
    ----------
    message : str
        One line that names the file, table, column, first bad row or option.
    hint : str, optional
        The command to type or the change to make.
    details : object
        Machine-readable details for ``--json``; values must be JSON types.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details


class UsageError(PdmError):
    """The command line is invalid."""

    code = "usage"
    exit_code = 2


class ConfigError(PdmError):
    """The config file or an environment variable has an invalid key or value."""

    code = "config"
    exit_code = 3


class DataError(PdmError):
    """A table has invalid content."""

    code = "data"
    exit_code = 4


class SchemaError(DataError):
    """A table or column is missing or has a wrong type."""

    code = "schema"


class NotEnoughData(DataError):
    """The data are valid but too few."""

    code = "not_enough_data"


class TryAgain(PdmError):
    """A temporary problem outside pdm, such as a full disk or another pdm writing to the same folder."""

    code = "try_again"
    exit_code = 75


class ModelError(PdmError):
    """A model folder cannot be used."""

    code = "model"
    exit_code = 5


class FeatureMismatch(ModelError):
    """The data do not match those that the model was trained on."""

    code = "feature_mismatch"


class RemoteError(PdmError):
    """Azure, or a database, rejected a request or did not find a resource."""

    code = "remote"
    exit_code = 6


class AuthError(RemoteError):
    """Sign-in to Azure failed."""

    code = "auth"


class JobFailed(PdmError):
    """A job on Azure failed."""

    code = "job_failed"
    exit_code = 7


class JobCancelled(PdmError):
    """A job on Azure was cancelled."""

    code = "job_cancelled"
    exit_code = 8


class JobNotFinished(PdmError):
    """A job on Azure has not finished, or not within the given time."""

    code = "job_not_finished"
    exit_code = 9


class GateNotMet(PdmError):
    """A ``--fail-on`` condition is true, or a model is not better (``--if-better``)."""

    code = "gate_not_met"
    exit_code = 10
