"""A server that speaks byte by byte, for tests of what HTTP can do to us."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from partners.errors import PartnerError

Reply = Callable[[socket.socket, bytes], object]


class Wire:
    """A server that reads a request and lets `reply(connection, request)` do with the connection as it likes."""

    def __init__(self, reply: Reply, address: tuple[str, int] = ("127.0.0.1", 0), tls: ssl.SSLContext | None = None):
        self.requests: list[bytes] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._reply, self._tls = reply, tls
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(address)
        self.host, self.port = self._listener.getsockname()
        self.url = f"http://{self.host}:{self.port}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            while request := _read_request(connection):
                self.requests.append(request)
                self._reply(connection, request)
        except OSError:
            pass
        finally:
            connection.close()

    def stop(self) -> None:
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):  # closed already, or its descriptor went to the TLS socket
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)


def _read_request(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        got = connection.recv(65536)
        if not got:
            return b""
        head += got
    head, _, body = head.partition(b"\r\n\r\n")
    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while length and len(body) < int(length[0].split(b":")[1]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answer(status: int = 200, body: bytes = b"{}", **headers: str) -> bytes:
    given = {"Content-Length": str(len(body)), **{k.replace("_", "-"): v for k, v in headers.items()}}
    return (
        f"HTTP/1.1 {status} X\r\n{''.join(f'{k}: {v}{chr(13)}{chr(10)}' for k, v in given.items())}\r\n".encode() + body
    )


def says(raw: bytes) -> Reply:
    return lambda connection, _: connection.sendall(raw)


def resets(connection: socket.socket, _: bytes) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def failure(call: Callable[[], object]) -> PartnerError:
    with pytest.raises(PartnerError) as caught:
        call()
    return caught.value
