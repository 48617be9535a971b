"""pdm as a separate process that uses the emulator as Azure."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests import outcome
from tests.azure.emulator import Emulator
from tests.azure.forks import Fork, can_fork

MODULE = "pdm_cli"
PROGRAM = (sys.executable, "-m", MODULE)
Process = subprocess.Popen[str] | Fork
# Output of all processes of a test, which is searched for secrets at its end.
WRITTEN: list[str] = []


class Outcome(outcome.Outcome):
    """The result of a process, and the error that it printed."""

    @property
    def error(self) -> str:
        """The line of the error."""
        return next((line for line in self.stderr.splitlines() if line.startswith("error: ")), "")

    @property
    def hint(self) -> str:
        return next((line for line in self.stderr.splitlines() if line.startswith("hint: ")), "")


def run(words: Sequence[object], environment: Mapping[str, str], folder: Path) -> Outcome:
    """Run a program to its end."""
    program = [str(word) for word in words]
    done = subprocess.run(program, env=dict(environment), cwd=folder, capture_output=True, text=True, check=False)
    WRITTEN.extend((done.stdout, done.stderr))
    return Outcome(done.returncode, done.stdout, done.stderr)


class Pdm:
    """Runs pdm; requests to other hosts fail the test."""

    def __init__(self, emulator: Emulator, environment: Mapping[str, str], folder: Path) -> None:
        self._emulator = emulator
        self._environment = dict(environment)
        self._folder = folder

    def __call__(self, *words: object, program: tuple[str, ...] = PROGRAM, **environment: str) -> Outcome:
        return self.end(self.start(*words, program=program, **environment))

    def start(self, *words: object, program: tuple[str, ...] = PROGRAM, **environment: str) -> Process:
        """Start pdm and leave it running."""
        # An empty value removes a variable.
        merged = {name: value for name, value in (self._environment | environment).items() if value}
        if program == PROGRAM and can_fork(merged):
            return Fork(MODULE, [*map(str, words)], merged, self._folder)
        return subprocess.Popen(
            [*program, *map(str, words)],
            env=merged,
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def read_line(self, process: Process) -> str:
        """Return the next line as soon as pdm prints it."""
        if isinstance(process, Fork):
            return process.read_line()
        assert process.stdout is not None
        return process.stdout.readline()

    def end(self, process: Process) -> Outcome:
        """Wait for the end of pdm."""
        stdout, stderr = process.communicate(timeout=120)
        WRITTEN.extend((stdout, stderr))
        assert "Traceback" not in stderr, stderr
        assert not self._emulator.refused_hosts
        return Outcome(process.returncode, stdout, stderr)

    def interrupt(self, process: Process) -> Outcome:
        """Press Ctrl-C."""
        process.send_signal(signal.SIGINT)
        return self.end(process)


def until(is_so: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
