"""Requests, replies and routing, shared by all parts of the emulator."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote

ARM = "management.azure.com"
LOGIN = "login.microsoftonline.com"

Json = dict[str, Any]


class Exchange(NamedTuple):
    """A request and its status; 0 if the connection was dropped before a status was sent."""

    method: str
    host: str
    path: str
    status: int


@dataclass(frozen=True)
class Request:
    """A request for the control plane, with its body."""

    method: str
    host: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def json(self) -> Json:
        return json.loads(self.body or b"{}")


@dataclass(frozen=True)
class Reply:
    """A JSON reply."""

    body: object = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return b"" if self.body is None else json.dumps(self.body).encode()


class ServiceError(Exception):
    """An error response in ARM's form."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    @property
    def reply(self) -> Reply:
        return Reply({"error": {"code": self.code, "message": self.message, "details": []}}, self.status)


def not_found(what: str) -> ServiceError:
    """Return the error for a missing resource."""
    return ServiceError(404, "UserError", f"Not found. {what} was not found in this workspace.")


Handler = Callable[..., Reply]


class Router:
    """Finds the handler for a method and path; ``{name}`` in a template matches one part of the path."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []

    def add(self, method: str, template: str, handler: Handler) -> None:
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)
        self._routes.append((method, re.compile(pattern, re.IGNORECASE), handler))

    def answer(self, request: Request) -> Reply:
        known = False
        for method, pattern, handler in self._routes:
            if match := pattern.fullmatch(request.path):
                known = True
                if method == request.method:
                    return handler(request, **{key: unquote(value) for key, value in match.groupdict().items()})
        if known:
            raise ServiceError(405, "MethodNotAllowed", f"{request.method} is not known for {request.path}.")
        raise ServiceError(404, "NotFound", f"The emulator has no {request.method} {request.path}.")
