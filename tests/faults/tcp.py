"""A TCP proxy on loopback before a MongoDB or a PostgreSQL: it cuts, swallows and keeps back, as it is told."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import bson

_HEADER = struct.Struct("<iiii")
_OP_MSG = 2013
_SECTION = 16 + 4 + 1  # header, flags, kind of the first section
WRITES = frozenset({"insert", "update", "delete", "findAndModify", "commit"})


@dataclass
class Cut:
    """One armed fault: of the commands of these names some pass, the next ones are cut off, executed or not."""

    after: bool
    skip: int = 0
    times: int = 1
    commands: frozenset[str] = WRITES


class Proxy:
    """Speaks for a server at `target`. `address` is where to connect to; MongoDB's messages pass as they are."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._armed: Cut | None = None
        self._open: set[socket.socket] = set()
        self._server: socket.socket | None = None
        self.address = ("127.0.0.1", 0)
        self.cuts = 0
        self.delay_s = 0.0
        self.black_hole = False
        self.start()

    # switches

    def arm(self, cut: Cut) -> None:
        """Cut the next commands of this kind."""
        with self._lock:
            self._armed = cut

    def disarm(self) -> None:
        """Let everything pass again."""
        with self._lock:
            self._armed = None

    def start(self) -> None:
        """Listen, at the same port as ever."""
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(self.address)
        server.listen(64)
        self._server, self.address = server, server.getsockname()
        threading.Thread(target=self._accept, args=[server], daemon=True).start()

    def stop(self) -> None:
        """Be away: connections are reset, new ones refused."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown(socket.SHUT_RDWR)
            server.close()
        for one in list(self._open):
            self._reset(one)

    # what passes

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            upstream = socket.create_connection(self._target, 5)
        except OSError:
            client.close()
            return
        upstream.settimeout(None)
        self._open |= {client, upstream}
        try:
            while (message := self._request(client)) is not None and self._pass_on(message, client, upstream):
                pass
        except OSError:
            pass
        finally:
            for one in (client, upstream):
                self._open.discard(one)
                one.close()

    def _pass_on(self, message: bytes, client: socket.socket, upstream: socket.socket) -> bool:
        """Hand a message over and its answer back; False when the connection is over."""
        time.sleep(self.delay_s)
        while self.black_hole:
            time.sleep(0.05)
        cut = self._take(self._command(message))
        if cut is None or cut.after:
            upstream.sendall(message)
            for answer in self._answers(message, upstream):
                if cut is None:
                    client.sendall(answer)
            if cut is None:
                return True
        self._reset(client)
        return False

    # what a message is

    def _request(self, client: socket.socket) -> bytes | None:
        return _read_message(client)

    def _answers(self, message: bytes, upstream: socket.socket) -> Iterator[bytes]:
        more = True
        while more:
            answer = _read_message(upstream)
            if answer is None:
                raise ConnectionError
            more = _has_more(answer)
            yield answer

    def _command(self, message: bytes) -> str:
        return _command(message)

    def _take(self, command: str) -> Cut | None:
        with self._lock:
            cut = self._armed
            if cut is None or cut.times == 0 or command not in cut.commands:
                return None
            if cut.skip:
                cut.skip -= 1
                return None
            cut.times -= 1
            self.cuts += 1
            return cut

    @staticmethod
    def _reset(one: socket.socket) -> None:
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def _read_message(source: socket.socket) -> bytes | None:
    head = _read(source, _HEADER.size)
    if head is None:
        return None
    length = _HEADER.unpack(head)[0]
    rest = _read(source, length - _HEADER.size)
    return None if rest is None else head + rest


def _read(source: socket.socket, size: int) -> bytes | None:
    found = bytearray()
    while len(found) < size:
        part = source.recv(size - len(found))
        if not part:
            return None
        found += part
    return bytes(found)


def _command(message: bytes) -> str:
    """Return the command's name: the first key of an OP_MSG's body."""
    if _HEADER.unpack(message[: _HEADER.size])[3] != _OP_MSG or message[_SECTION - 1] != 0:
        return ""
    size = struct.unpack_from("<i", message, _SECTION)[0]  # other sections may follow
    return next(iter(bson.decode(message[_SECTION : _SECTION + size])), "")


def _has_more(message: bytes) -> bool:
    """Say whether another answer follows without being asked for, as of the driver's own watching."""
    more_to_come = 2
    kind = _HEADER.unpack(message[: _HEADER.size])[3]
    return kind == _OP_MSG and bool(struct.unpack_from("<I", message, _HEADER.size)[0] & more_to_come)


class PostgresProxy(Proxy):
    """The same before a PostgreSQL: each statement of Django's is a message of kind Q, answered until Z."""

    def _request(self, client: socket.socket) -> bytes | None:
        first = _read(client, 1)  # the first messages of all have no kind and begin with their size
        kind, begun = (b"", first) if first == b"\0" else (first, b"")
        return None if first is None else _read_sized(client, kind or b"", begun or b"")

    def _answers(self, message: bytes, upstream: socket.socket) -> Iterator[bytes]:
        if len(message) == 8 and message[:1] == b"\0":  # whether it can be encrypted: one letter says
            yield _all(_read(upstream, 1))
        elif message[:1] in b"\0QS":
            answer = b""
            while answer[:1] != b"Z":
                answer = _all(_read_sized(upstream, _all(_read(upstream, 1)), b""))
                yield answer

    def _command(self, message: bytes) -> str:
        """Return the first word of a statement."""
        return message[5:].split(None, 1)[0].decode().lower() if message[:1] == b"Q" else ""


def _read_sized(source: socket.socket, kind: bytes, begun: bytes) -> bytes | None:
    """Read the rest of a message of PostgreSQL's whose kind was read, and perhaps the beginning of its size."""
    size = begun + _all(_read(source, 4 - len(begun)))
    rest = _read(source, int.from_bytes(size) - 4)
    return None if rest is None else kind + size + rest


def _all(found: bytes | None) -> bytes:
    if found is None:
        raise ConnectionError
    return found


@contextmanager
def proxied(target: tuple[str, int], kind: type[Proxy] = Proxy) -> Iterator[Proxy]:
    """Give a proxy before `target`, gone afterwards."""
    proxy = kind(target)
    try:
        yield proxy
    finally:
        proxy.black_hole = False
        proxy.stop()
