"""One request and its answer on one connection: HTTP/1.1 (RFC 9112) for a client that asks one thing at a time.

No pipelining, upgrades or trailers. What is no HTTP or ends too early is a BrokenAnswerError. For `partners.http`.
"""

from __future__ import annotations

import re
import select
import socket
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from partners.dial import Call

_PIECE_BYTES = 65536
_HEAD_BYTES = 65536
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: [^\r\n]*)?\Z")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n\Z")


class BrokenAnswerError(OSError):
    """The answer is not HTTP, or broke off."""


class Headers(Mapping[str, str]):
    """An answer's headers, by names in any case; what is given twice is joined by commas."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._found: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or name != name.strip():
                raise BrokenAnswerError("a header is none")
            name, value = name.lower(), value.strip()
            self._found[name] = f"{self._found[name]}, {value}" if name in self._found else value

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
        self._socket, self._came = sock, bytearray()
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
        version, status, headers = self._read_head(call)
        if status >= 300 and not read_refusals:
            return Answer(status, headers, b"", is_cut=True)
        pieces = self._read_body(call, method, status, headers)
        if headers.get("content-encoding", "").lower() in ("gzip", "x-gzip", "deflate"):
            pieces = _unpack(pieces)
        body = bytearray()
        for piece in pieces:
            body += piece
            if len(body) > max_bytes:
                return Answer(status, headers, bytes(body[:max_bytes]), is_cut=True)
        self.is_reusable = not self._came and self._stays_open(method, version, status, headers)
        return Answer(status, headers, bytes(body), is_cut=False)

    @staticmethod
    def _stays_open(method: str, is_newer: bool, status: int, headers: Headers) -> bool:
        """Say whether the server keeps the connection, and the answer's end was not the connection's."""
        told = headers.get("connection", "").lower()
        has_end = "content-length" in headers or "transfer-encoding" in headers
        has_body = method != "HEAD" and status not in (204, 304)
        return (has_end or not has_body) and ("close" not in told if is_newer else "keep-alive" in told)

    def _read_head(self, call: Call) -> tuple[bool, int, Headers]:
        """Return (is HTTP/1.1, status, headers); what only says "go on" is passed over."""
        while True:
            looked_at = 0
            while not (end := _END_OF_HEAD.search(self._came, max(0, looked_at - 3))):
                looked_at = len(self._came)
                if looked_at > _HEAD_BYTES:
                    raise BrokenAnswerError("the head is too long")
                self._read_more(call)
            first, *lines = bytes(self._came[: end.start()]).replace(b"\r\n", b"\n").split(b"\n")
            del self._came[: end.end()]
            found = _STATUS.match(first)
            if not found or found[2] == b"101":
                raise BrokenAnswerError("the first line is not HTTP's")
            if not found[2].startswith(b"1"):
                return found[1] == b"1", int(found[2]), Headers(lines)

    def _read_body(self, call: Call, method: str, status: int, headers: Headers) -> Iterator[bytes]:
        if method == "HEAD" or status in (204, 304):
            return iter(())
        if "transfer-encoding" in headers:
            return self._read_chunks(call)
        if "content-length" in headers:
            length = headers["content-length"]
            if not (length.isascii() and length.isdigit()):
                raise BrokenAnswerError("the length is no number")
            return self._read_exactly(call, int(length))
        return self._read_to_end(call)

    def _read_exactly(self, call: Call, length: int) -> Iterator[bytes]:
        while length:
            if not self._came:
                self._read_more(call)
            piece = bytes(self._came[:length])
            del self._came[:length]
            length -= len(piece)
            yield piece

    def _read_chunks(self, call: Call) -> Iterator[bytes]:
        while True:
            size = _SIZE.match(self._read_line(call))
            if not size:
                raise BrokenAnswerError("a chunk has no size")
            if not int(size[1], 16):
                break
            yield from self._read_exactly(call, int(size[1], 16))
            if self._read_line(call).strip():
                raise BrokenAnswerError("a chunk is longer than its size")
        while self._read_line(call).strip():  # trailers tell us nothing
            pass

    def _read_to_end(self, call: Call) -> Iterator[bytes]:
        while True:
            yield bytes(self._came)
            self._came.clear()
            try:
                self._read_more(call)
            except BrokenAnswerError:
                return

    def _read_line(self, call: Call) -> bytes:
        while (end := self._came.find(b"\n")) < 0:
            if len(self._came) > _HEAD_BYTES:
                raise BrokenAnswerError("a line is too long")
            self._read_more(call)
        line = bytes(self._came[: end + 1])
        del self._came[: end + 1]
        return line

    def _read_more(self, call: Call) -> None:
        """Wait for bytes, each time only as long as the call has left."""
        self._socket.settimeout(call.left_s(call.read_timeout_s))
        data = self._socket.recv(_PIECE_BYTES)
        if not data:
            raise BrokenAnswerError("the connection ended")
        self._came += data


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
