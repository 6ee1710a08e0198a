"""One request and its answer on one connection that stays open: http.client reads, under the call's deadline.

What is no HTTP or ends too early is a BrokenAnswerError. For `partners.http`.
"""

from __future__ import annotations

import io
import select
import socket
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import Any

from partners.dial import Call

_PIECE_BYTES = 65536
_SWITCHING = 101


class BrokenAnswerError(OSError):
    """The answer is not HTTP, or broke off."""


class Headers(Mapping[str, str]):
    """An answer's headers, by names in any case; what is given twice is joined by commas."""

    def __init__(self, told: HTTPMessage) -> None:
        self._found: dict[str, str] = {}
        for name, value in told.items():
            key = name.lower()
            self._found[key] = f"{self._found[key]}, {value}" if key in self._found else value

    def __getitem__(self, name: str) -> str:
        return self._found[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


@dataclass(frozen=True)
class Answer:
    """What came; `is_cut` where the body was longer than was wanted."""

    status: int
    headers: Headers
    body: bytes
    is_cut: bool


class Connection:
    """A connection that one caller at a time asks; `is_reusable` tells whether it may be asked again."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self.is_reusable = False

    def is_quiet(self) -> bool:
        """Say whether nothing came while nobody asked: an end, or what no request waits for."""
        return not self._poll.poll(0)

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()

    def ask(self, call: Call, method: str, request: bytes, *, max_bytes: int, read_refusals: bool) -> Answer:
        """Send a whole request and read its answer, of the body at most `max_bytes`. Raises OSError.

        Without `read_refusals` the status is all that counts of an answer over 299: its body may break off.
        """
        self.is_reusable = False
        call.phase = "sent"
        self._socket.settimeout(call.left_s(call.deadline_s))
        self._socket.sendall(request)
        came = _TimedReader(self._socket, call)
        try:
            answer = HTTPResponse(came, method=method)  # type: ignore[arg-type]
            _read_head(answer)
            headers = Headers(answer.headers)
            if answer.status >= 300 and not read_refusals:
                return Answer(answer.status, headers, b"", is_cut=True)
            body, is_cut = _read_body(answer, headers, max_bytes)
        except HTTPException as error:
            raise BrokenAnswerError(type(error).__name__) from None  # its text shows what came
        self.is_reusable = not (is_cut or answer.will_close or came.has_more())
        return Answer(answer.status, headers, body, is_cut)


class _TimedReader(io.RawIOBase):
    """A socket's bytes under the call's deadline: each read may wait only as long as the call has left."""

    def __init__(self, sock: socket.socket, call: Call) -> None:
        self._socket, self._call = sock, call
        self._is_over = False
        self._buffered = _Buffered(self)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what http.client reads from."""
        return self._buffered

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._is_over:
            return 0
        self._socket.settimeout(self._call.left_s(self._call.read_timeout_s))
        return self._socket.recv_into(buffer)

    def has_more(self) -> bool:
        """Say, once the answer was read, whether more came than it should have."""
        self._is_over = True
        return bool(self._buffered.peek(1))


class _Buffered(io.BufferedReader):
    def close(self) -> None:
        """Stay open where http.client has read all it wants: what else came is looked at."""


def _read_head(answer: HTTPResponse) -> None:
    """Read until an answer begins; what only says "go on" is passed over."""
    answer.begin()
    while 100 <= answer.status < 200:
        if answer.status == _SWITCHING:
            raise BrokenAnswerError("a protocol nobody asked for")
        answer.headers = None  # type: ignore[assignment]  # so begin() reads one more
        answer.begin()


def _read_body(answer: HTTPResponse, headers: Headers, max_bytes: int) -> tuple[bytes, bool]:
    """Return the body, and whether it is only its first `max_bytes`."""
    pieces = _pieces(answer)
    if headers.get("content-encoding", "").lower() in ("gzip", "x-gzip", "deflate"):
        pieces = _unpack(pieces)
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > max_bytes:
            return bytes(body[:max_bytes]), True
    return bytes(body), False


def _pieces(answer: HTTPResponse) -> Iterator[bytes]:
    while piece := answer.read(_PIECE_BYTES):
        yield piece
    if answer.length:
        raise BrokenAnswerError("the body is shorter than its length")


def _unpack(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Unpack gzip or zlib bit by bit, so that a little that unpacks to very much can be cut off."""
    unpacking, is_empty = zlib.decompressobj(wbits=47), True
    try:
        for piece in pieces:
            is_empty, rest = False, piece
            while rest:
                yield unpacking.decompress(rest, _PIECE_BYTES)
                rest = unpacking.unconsumed_tail
        yield unpacking.flush()
    except zlib.error:
        raise BrokenAnswerError("the body cannot be unpacked") from None
    if not (unpacking.eof or is_empty):
        raise BrokenAnswerError("the packed body broke off")
