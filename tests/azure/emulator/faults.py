"""Faults on demand: error responses, delays and broken connections."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tests.azure.emulator.wire import Reply, ServiceError

Drop = Literal["", "before", "after", "middle"]


@dataclass
class Fault:
    """A fault of matching requests, instead of or before the real response.

    Attributes
    ----------
    reply : Reply or None
        Sent instead of the real response; the request has no effect.
    drop : str
        ``before``: closed without effect and without reply. ``after``: the request takes effect, the reply is lost.
        ``middle``: the head and half of the body are sent, then the connection is closed.
    delay : float
        Seconds before anything else.
    times : int
        Number of requests it still applies to.
    """

    method: str
    host: re.Pattern[str]
    path: re.Pattern[str]
    reply: Reply | None
    drop: Drop
    delay: float
    times: int

    def fits(self, method: str, host: str, path: str) -> bool:
        return (
            self.times > 0
            and self.method in ("", method)
            and bool(self.host.search(host))
            and bool(self.path.search(path))
        )


@dataclass
class Faults:
    """Pending faults, in the order they were added."""

    _pending: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self,
        *,
        method: str = "",
        host: str = "",
        path: str = "",
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        drop: Drop = "",
        delay: float = 0.0,
        times: int = 1,
    ) -> Fault:
        """Add a fault; ``body`` defaults to an error in ARM's form.

        ``host`` and ``path`` are regular expressions; the path includes the query. An unknown host can only be delayed.
        """
        reply = None
        if status is not None:
            error = ServiceError(status, "EmulatedFault", f"An emulated fault with status {status}.").reply
            reply = Reply(error.body if body is None else body, status, headers or {})
        fault = Fault(method, re.compile(host), re.compile(path), reply, drop, delay, times)
        with self._lock:
            self._pending.append(fault)
        return fault

    def take(self, method: str, host: str, path: str) -> Fault | None:
        """Return the first matching fault, and decrement its count."""
        with self._lock:
            for fault in self._pending:
                if fault.fits(method, host, path):
                    fault.times -= 1
                    return fault
        return None

    def clear(self) -> None:
        with self._lock:
            self._pending.clear()
