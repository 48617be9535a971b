"""Requests that must be over within a time: by themselves Azure's clients would go on asking for minutes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# A request that is sent at all is given so many seconds to be answered; and with more than the other number, the
# client's own limits are as good.
_LEAST_SECONDS = 5.0
_MOST_SECONDS = 30.0


class Haste:
    """How long the requests of a session may take just now, and whether a client may repeat them."""

    def __init__(self) -> None:
        self._seconds: float | None = None

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let clients send each request once, and wait no longer for its answer; ``inf``: as long as they like."""
        self._seconds = max(seconds, _LEAST_SECONDS)
        try:
            yield
        finally:
            self._seconds = None

    def options(self) -> dict[str, Any]:
        """Return what a request of Azure's clients has to be told just now."""
        if self._seconds is None:
            return {}
        limits = {"connection_timeout": self._seconds, "read_timeout": self._seconds}
        return {"retry_total": 0, **(limits if self._seconds < _MOST_SECONDS else {})}

    def as_policy(self) -> Any:
        """Return what tells it to every request of a client."""
        from azure.core.pipeline.policies import SansIOHTTPPolicy

        options = self.options

        class _Policy(SansIOHTTPPolicy[Any, Any]):
            def on_request(self, request: Any) -> None:
                request.context.options.update(options())

        return _Policy()
