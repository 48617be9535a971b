"""Which process writes to a folder, told in a name that stays true on storage which several machines share.

The number of a process means nothing on another machine or in another container, and is given anew when its process
has ended. So the name holds when the process started, and where, too.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from enum import Enum, auto
from functools import cache
from pathlib import Path

_NAME = re.compile(r"(?P<process>\d+)-(?P<start>\d+)-(?P<machine>[0-9a-f]{8})-")
_STARTED_FIELD = 22
_ENDED_STATES = ("Z", "X")


class Life(Enum):
    """What is known of a process: it works, it has ended, or it is out of sight."""

    ALIVE = auto()
    ENDED = auto()
    UNKNOWN = auto()


def name_writer() -> str:
    """Return the name of this process, for the beginning of a file name."""
    return f"{os.getpid()}-{_start_of(os.getpid())}-{_machine()}-"


def read_life(name: str) -> Life:
    """Return what became of the process that a name begins with; unknown on other machines, and of other names.

    Examples
    --------
    >>> read_life(name_writer()), read_life("notes.txt")
    (<Life.ALIVE: 1>, <Life.UNKNOWN: 3>)
    """
    found = _NAME.match(name)
    if found is None or found["machine"] != _machine():
        return Life.UNKNOWN
    process = int(found["process"])
    is_same = _is_there(process) and _start_of(process) == int(found["start"])
    return Life.ALIVE if is_same else Life.ENDED


def is_this_process(name: str) -> bool:
    """Return whether a name begins with that of this process."""
    return name.startswith(name_writer())


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _start_of(process: int) -> int:
    """Return when a process started, in ticks of its machine; 0 where the system does not tell, -1 if it has ended."""
    try:
        told = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # The second field is a name in brackets that may hold anything.
    state, *fields = told.rpartition(")")[2].split()
    # One that was killed keeps its number until its parent, in a container perhaps nobody, asks what became of it.
    return -1 if state in _ENDED_STATES else int(fields[_STARTED_FIELD - 4])


@cache
def _machine() -> str:
    """Return a mark of what gives this process its number: the machine since it was switched on, and the container."""
    parts = [platform.node()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            parts.append(str(Path(path).readlink()) if "/ns/" in path else Path(path).read_text(encoding="utf-8"))
        except OSError:
            continue
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
