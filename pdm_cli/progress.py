"""Progress: how long work reports what it is doing, without knowing about terminals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Receives progress lines, warnings and the units of work done."""

    def info(self, text: str) -> None:
        """Report a step."""

    def detail(self, text: str) -> None:
        """Report a detail, shown only on request."""

    def warn(self, text: str) -> None:
        """Report a problem that does not stop the work."""

    def track(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Return a context whose function takes the units of work just done."""


class Silent:
    """Progress that nobody follows: the default of the Python API."""

    def info(self, text: str) -> None:
        """Ignore a step."""

    def detail(self, text: str) -> None:
        """Ignore a detail."""

    def warn(self, text: str) -> None:
        """Ignore a problem."""

    @contextmanager
    def track(self, label: str, total: int) -> Iterator[Callable[[int], None]]:  # noqa: ARG002 - protocol
        """Ignore the units of work done."""
        yield lambda _: None


class Recorder:
    """Passes everything on to another progress, and keeps the warnings."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.warnings: list[str] = []

    def info(self, text: str) -> None:
        """Report a step."""
        self._progress.info(text)

    def detail(self, text: str) -> None:
        """Report a detail."""
        self._progress.detail(text)

    def warn(self, text: str) -> None:
        """Report a problem and keep it."""
        self.warnings.append(text)
        self._progress.warn(text)

    def track(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Return the context of the other progress."""
        return self._progress.track(label, total)
