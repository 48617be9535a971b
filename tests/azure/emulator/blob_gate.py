"""A gate from the client's ``https://ACCOUNT.blob.core.windows.net`` to Azurite."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from email.message import Message
from typing import IO

from tests.azure.emulator.azurite import Azurite
from tests.azure.emulator.tokens import Tokens
from tests.azure.emulator.wire import ServiceError

STORAGE = "https://storage.azure.com"
CHUNK_BYTES = 1 << 16


class BlobGate:
    """Forwards requests to Azurite, bodies in chunks, so that a large blob is never in memory as a whole.

    Signatures by shared key cover headers, account and path, but not the address of the host. So the request is
    forwarded unchanged, with the ``Host`` header in Azure's form, from which Azurite takes the account.
    Azurite accepts bearer tokens over TLS only; the gate checks them and replaces them by a signature of the account.
    """

    def __init__(self, azurite: Azurite, tokens: Tokens) -> None:
        self.host = f"{azurite.account}.blob.core.windows.net"
        self._azurite = azurite
        self._tokens = tokens

    @contextlib.contextmanager
    def send(
        self, method: str, path: str, headers: Message, body: IO[bytes], length: int
    ) -> Iterator[http.client.HTTPResponse]:
        """Forward a request and yield Azurite's reply with an unread body."""
        given = dict(headers.items())
        if given.get("Authorization", "").startswith("Bearer "):
            principal = self._tokens.check(given.pop("Authorization"), STORAGE)
            if principal.role == "none":
                raise ServiceError(403, "AuthorizationPermissionMismatch", "This request is not authorized.")
            path += ("&" if "?" in path else "?") + self._azurite.account_sas()
        upstream = http.client.HTTPConnection("127.0.0.1", self._azurite.port, timeout=60)
        try:
            upstream.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for key, value in given.items():
                if key.lower() not in ("connection", "proxy-connection"):
                    upstream.putheader(key, value)
            upstream.endheaders()
            while length > 0 and (data := body.read(min(length, CHUNK_BYTES))):
                upstream.send(data)
                length -= len(data)
            yield upstream.getresponse()
        finally:
            upstream.close()
