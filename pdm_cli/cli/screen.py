"""Output: results to stdout (tables, or one JSON object); progress, warnings and errors to stderr."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.segment import Segment

from pdm_cli.errors import PdmError
from pdm_cli.text import Prose, plain_lines

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

ERROR_SCHEMA = "pdm.error/1"
# Without a terminal, progress lines are at least this far apart.
_SECONDS_BETWEEN_LINES = 10.0
# All tables fit this.
_LEAST_WIDTH = 80


@dataclass(frozen=True)
class Screen:
    """Output of one command.

    Attributes
    ----------
    as_json : bool
        Print the result as one JSON object instead of tables.
    quiet : bool
        No progress lines; warnings and errors remain.
    verbose : bool
        More progress lines.
    debug : bool
        Tracebacks with errors.
    """

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    debug: bool = False

    @property
    def is_live(self) -> bool:
        """Whether bars can be drawn: on a terminal, unless quiet."""
        return not self.quiet and sys.stderr.isatty()

    def merge(self, other: Screen) -> Screen:
        """Return a screen with the options of both."""
        return Screen(*(mine or its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    def info(self, text: str) -> None:
        """Print a progress line, unless quiet."""
        if not self.quiet:
            self._print_error_line(text)

    def detail(self, text: str) -> None:
        """Print a progress line with ``-v`` only."""
        if self.verbose and not self.quiet:
            self._print_error_line(text)

    def suggest(self, *words: object) -> None:
        """On a terminal, print the command that usually comes next."""
        if self.is_live:
            self.info(f"next: {shlex.join(map(str, words))}")

    def warn(self, text: str) -> None:
        """Print a warning."""
        self._print_error_line(f"warning: {text}")

    def fail(self, error: PdmError) -> None:
        """Print an error: its line and hint on stderr, and with ``--json`` one object on stdout."""
        self._print_error_line(f"error: {error.message}")
        if error.hint:
            self._print_error_line(f"hint: {error.hint}")
        self._print_error_object(error.code, error.exit_code, error.message, error.hint, error.details)

    def stop(self, exit_code: int, message: str, **details: object) -> None:
        """Print the JSON object of a command that a signal ends, with ``--json``.

        Parameters
        ----------
        exit_code : int
            130 or 143.
        message : str
            Outcome for the outputs.
        details : object
            Facts for scripts, in JSON types.
        """
        self._print_error_object("interrupted", exit_code, message, None, details)

    def result(self, payload: dict[str, Any], tables: Callable[[], list[RenderableType]]) -> None:
        """Print the result: ``payload`` as JSON, or ``tables`` drawn."""
        if self.as_json:
            self._print_json(payload)
            return
        console = wide = _console(sys.stdout)
        if console.width < _LEAST_WIDTH:
            # On a narrow terminal, lines of tables wrap instead of losing columns.
            wide = _console(sys.stdout, _LEAST_WIDTH)
        for table in tables():
            if isinstance(table, str):
                is_prose = isinstance(table, Prose) and console.is_terminal
                console.print(table, soft_wrap=not is_prose)
            else:
                wide.print(table)
        console.file.flush()

    def line(self, text: str) -> None:
        """Print one line of a result that grows, instead of :meth:`result`."""
        print(text, flush=True)  # noqa: T201 - the one printer

    @contextmanager
    def track(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show the progress of long work: a bar on a terminal, occasional lines elsewhere.

        Parameters
        ----------
        label : str
            Name of the work.
        total : int
            Units of work.

        Yields
        ------
        callable
            Takes the units just done.
        """
        if not self.is_live:
            yield self._plain_progress(label, total)
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=_console(sys.stderr), transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda done: bar.advance(task, done)

    def _plain_progress(self, what: str, total: int) -> Callable[[int], None]:
        finished = 0
        last_line = time.monotonic()

        def advance(done: int) -> None:
            nonlocal finished, last_line
            finished += done
            if finished < total and time.monotonic() - last_line >= _SECONDS_BETWEEN_LINES:
                last_line = time.monotonic()
                self.info(f"{what}: {finished:,} of {total:,}")

        return advance

    def _print_error_line(self, text: str) -> None:
        print(plain_lines(text), file=sys.stderr, flush=True)  # noqa: T201 - the one printer

    def _print_error_object(
        self, code: str, exit_code: int, message: str, hint: str | None, details: dict[str, object]
    ) -> None:
        if self.as_json:
            content = {"schema": ERROR_SCHEMA, "code": code, "exit": exit_code}
            self._print_json(content | {"message": message, "hint": hint, "details": details})

    def _print_json(self, content: dict[str, Any]) -> None:
        print(json.dumps(content, indent=2, ensure_ascii=False, default=str), flush=True)  # noqa: T201 - the one printer


def _console(stream: Any, width: int | None = None) -> Console:

    if not stream.isatty():
        # Piped output is not cut to the width of a terminal.
        width = 500
    return PlainConsole(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


class PlainConsole(Console):
    """A Rich console that removes control characters from the text it draws."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments; Rich's own control codes pass."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=plain_lines(segment.text))
