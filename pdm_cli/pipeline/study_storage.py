"""The log of a search, from which a killed one is taken up again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.storages import JournalStorage

_LOG_FILE = "search.log"


def open_search_log(folder: Path) -> JournalStorage:
    """Return where Optuna keeps the finished trials, mended if a kill has left it half written.

    Parameters
    ----------
    folder : Path
        That of one pdm at a time: a lock found in it is that of a dead one.
    """
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    path = folder / _LOG_FILE
    _mend(path)
    # Optuna's usual lock is a symbolic link, which mounted output folders may not have.
    return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))


def count_trials(storage: JournalStorage) -> int:
    """Return how many finished trials are kept."""
    from optuna import get_all_study_summaries

    return sum(study.n_trials for study in get_all_study_summaries(storage))


def _mend(path: Path) -> None:
    """Cut off a last line without an end, which Optuna cannot read, and take away a lock, which it waits for."""
    for lock in path.parent.glob(f"{path.name}.lock*"):
        lock.unlink()
    if path.exists():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with path.open("r+b") as log:
                log.truncate(whole)
