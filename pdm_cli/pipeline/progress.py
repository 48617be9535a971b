"""Progress: how the pipeline reports what it is doing, without knowing about terminals."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol


class Progress(Protocol):
    """Receives progress lines, warnings and bars."""

    @property
    def is_live(self) -> bool:
        """Whether bars are drawn, so that lines about progress are not needed."""

    def say(self, text: str) -> None:
        """Report a finished step."""

    def tell(self, command: str) -> Callable[[str], None]:
        """Return a function that reports steps of a command."""

    def detail(self, text: str) -> None:
        """Report a detail that only a verbose caller wants."""

    def warn(self, text: str) -> None:
        """Report a problem that does not stop the work."""

    def progress(self, what: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Return a context whose function takes the units of work just done."""
