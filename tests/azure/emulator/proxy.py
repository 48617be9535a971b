"""A proxy on the loopback address that terminates TLS for Azure's hosts and rejects all others."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO
from urllib.parse import parse_qsl, urlsplit

from tests.azure.emulator.blob_gate import BlobGate
from tests.azure.emulator.certificates import Authority
from tests.azure.emulator.faults import Fault, Faults
from tests.azure.emulator.wire import Exchange, Reply, Request, ServiceError

CHUNK_BYTES = 1 << 16
# They concern a single connection; a proxy has two.
HOP_HEADERS = {"connection", "keep-alive", "proxy-connection", "te", "upgrade"}
# The proxy sets these itself.
LENGTH_HEADERS = {"content-length", "transfer-encoding"}


Site = Callable[[Request], Reply]


class Proxy:
    """Answers for the given hosts and rejects all others.

    Attributes
    ----------
    requests : list of Exchange
        In order of the responses.
    refused_hosts : list of str
        Requested hosts that are not emulated.
    bugs : list of str
        Tracebacks of the emulator itself.
    """

    def __init__(self, authority: Authority, sites: Mapping[str, Site], gate: BlobGate, faults: Faults) -> None:
        self.authority = authority
        self.sites = sites
        self.gate = gate
        self.faults = faults
        self.requests: list[Exchange] = []
        self.refused_hosts: list[str] = []
        self.bugs: list[str] = []
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def serves(self, host: str) -> bool:
        return host in self.sites or host == self.gate.host

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A client with an open connection must not block the end of the tests.
    block_on_close = False
    request_queue_size = 64


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"
    host = ""

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: ``requests`` is the log."""

    def handle(self) -> None:
        # A client may disconnect at any time.
        with contextlib.suppress(OSError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()
        self.connection.close()

    def do_CONNECT(self) -> None:
        host, _, port = self.path.rpartition(":")
        if port != "443" or not self.proxy.serves(host):
            self._refuse(host)
            return
        self.send_response_only(200, "Connection established")
        self.end_headers()
        self.wfile.flush()
        self.connection = self.proxy.authority.context(host).wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb")
        self.host = host
        # Older clients send HTTP/1.0 here, but keep the connection.
        self.close_connection = False

    def do_GET(self) -> None:
        if not self.host:
            self._refuse(urlsplit(self.path).hostname or self.path)
            return
        fault = self.proxy.faults.take(self.command, self.host, self.path)
        if fault and fault.delay:
            time.sleep(fault.delay)
        if fault and fault.drop == "before":
            self._drop()
        elif fault and fault.reply:
            self._discard_body()
            self._send(fault.reply, fault)
        elif self.host == self.proxy.gate.host:
            self._forward(fault)
        else:
            self._send(self._answer(), fault)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _answer(self) -> Reply:
        parts = urlsplit(self.path)
        body = self.rfile.read(self._length)
        request = Request(
            self.command, self.host, parts.path, dict(parse_qsl(parts.query)), dict(self.headers.items()), body
        )
        try:
            return self.proxy.sites[self.host](request)
        except ServiceError as error:
            return error.reply
        except Exception:  # noqa: BLE001 - a bug of the emulator is kept and shown by the tests
            self.proxy.bugs.append(traceback.format_exc())
            return ServiceError(500, "EmulatorBug", "The emulator has a bug.").reply

    def _send(self, reply: Reply, fault: Fault | None) -> None:
        if fault and fault.drop == "after":
            self._drop()
            return
        content = reply.content
        self._start(reply.status, {"Content-Type": "application/json; charset=utf-8", **reply.headers}, len(content))
        if self.command == "HEAD":
            return
        if fault and fault.drop == "middle":
            self.wfile.write(content[: len(content) // 2])
            self._cut()
            return
        self.wfile.write(content)

    def _forward(self, fault: Fault | None) -> None:
        try:
            with self.proxy.gate.send(self.command, self.path, self.headers, self.rfile, self._length) as answer:
                if fault and fault.drop == "after":
                    answer.read()
                    self._drop()
                else:
                    self._pass_on(answer, cut=bool(fault and fault.drop == "middle"))
        except ServiceError as error:
            self._discard_body()
            self._send(error.reply, None)

    def _pass_on(self, answer: http.client.HTTPResponse, *, cut: bool) -> None:
        headers = {key: value for key, value in answer.getheaders() if key.lower() not in HOP_HEADERS | LENGTH_HEADERS}
        # http.client reports no length for a chunked reply, or one without a body.
        length = None if answer.chunked else int(answer.getheader("Content-Length", "0"))
        self._start(answer.status, headers, length)
        if self.command == "HEAD":
            return
        if cut:
            self.wfile.write(answer.read((length or 2) // 2))
            self._cut()
            return
        while data := answer.read(CHUNK_BYTES):
            self.wfile.write(data if length is not None else b"%x\r\n%b\r\n" % (len(data), data))
        if length is None:
            self.wfile.write(b"0\r\n\r\n")

    def _start(self, status: int, headers: Mapping[str, str], length: int | None) -> None:
        self.proxy.requests.append(Exchange(self.command, self.host, urlsplit(self.path).path, status))
        self.send_response_only(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if length is None:
            self.send_header("Transfer-Encoding", "chunked")
        elif status not in (204, 304):
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _drop(self) -> None:
        self.proxy.requests.append(Exchange(self.command, self.host, urlsplit(self.path).path, 0))
        self._cut()

    def _cut(self) -> None:
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def _refuse(self, host: str) -> None:
        self.proxy.refused_hosts.append(host)
        # An unreachable address is slow to fail in real networks, too.
        if fault := self.proxy.faults.take(self.command, host, self.path):
            time.sleep(fault.delay)
        self.close_connection = True
        self.send_response_only(403, "Host not allowed")
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    @property
    def _length(self) -> int:
        return int(self.headers.get("Content-Length") or 0)

    def _discard_body(self) -> None:
        read_fully(self.rfile, self._length)


def read_fully(stream: IO[bytes], length: int) -> None:
    """Skip ``length`` bytes, so that the next request on the connection starts at its beginning."""
    while length > 0 and (data := stream.read(min(length, CHUNK_BYTES))):
        length -= len(data)
