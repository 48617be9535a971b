"""A progress that keeps what it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Recorder:
    """Keeps lines, warnings and the units of each tracked piece of work."""

    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    tracked: list[tuple[str, int, int]] = field(default_factory=list)

    def info(self, text: str) -> None:
        self.lines.append(text)

    def detail(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    @contextmanager
    def track(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        done: list[int] = []
        yield done.append
        self.tracked.append((label, total, sum(done)))
