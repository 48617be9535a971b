"""Processes forked from one that has loaded the Azure client, which takes longer than most commands."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

# Only Azure packages: the tests cover that pdm loads its own modules lazily.
LOADED = ["azure.ai.ml", "azure.identity", "azure.storage.blob"]


def can_fork(environment: Mapping[str, str]) -> bool:
    """Return whether a fork can replace a new process: not with variables that Python reads at startup."""
    return not any(name.startswith("PYTHON") and name != "PYTHONPATH" for name in environment)


class Fork:
    """``python -m MODULE`` in a fork, with the part of Popen's interface that the tests use."""

    running: ClassVar[set[Fork]] = set()

    def __init__(self, module: str, words: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(LOADED)
        self._home = TemporaryDirectory(prefix="pdm-fork-")
        self._written = [Path(self._home.name, name) for name in ("stdout", "stderr")]
        for path in self._written:
            path.touch()
        self._lines_read = 0
        # Not daemonic: pdm starts its own processes.
        self._process: ForkServerProcess = context.Process(
            target=_become, args=(module, list(words), dict(environment), folder, self._written)
        )
        self._process.start()
        self.running.add(self)

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to a process that may have ended."""
        if self._process.exitcode is None and self._process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    @classmethod
    def end_all(cls) -> None:
        """End the processes of failed tests: Python would wait for them."""
        while cls.running:
            fork = cls.running.pop()
            fork.kill()
            fork._process.join()
            fork._home.cleanup()

    def read_line(self, timeout: float = 60.0) -> str:
        """Return the next line of stdout as soon as it is written."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            has_ended = self.returncode is not None
            lines = self._written[0].read_text(encoding="utf-8").splitlines(keepends=True)[self._lines_read :]
            if lines and lines[0].endswith("\n"):
                self._lines_read += 1
                return lines[0]
            if has_ended:
                return ""
            time.sleep(0.05)
        raise TimeoutError(f"no line within {timeout:g} s")

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait for the end; return the rest of stdout, and stderr."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            self.kill()
            raise TimeoutError(f"no end within {timeout:g} s")
        self.running.discard(self)
        with self._home:
            stdout, stderr = (path.read_text(encoding="utf-8") for path in self._written)
        return "".join(stdout.splitlines(keepends=True)[self._lines_read :]), stderr


def _become(module: str, words: list[str], environment: dict[str, str], folder: Path, written: list[Path]) -> None:
    """Set the process up as a new one."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in enumerate(written, start=1):
        with path.open("wb") as file:
            os.dup2(file.fileno(), number)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open
    # As Python opens them.
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.argv = [module, *words]
    sys.path[:0] = [str(folder), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        # multiprocessing exits without flushing them.
        atexit._run_exitfuncs()
