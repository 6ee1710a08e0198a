"""One request and its answer on one connection that stays open: llhttp reads, under the call's deadline.

What is no HTTP or ends too early is a BrokenAnswerError. For `partners.http`.
"""

from __future__ import annotations

import select
import socket
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httptools

from partners.dial import Call

_PIECE_BYTES = 65536
_MAX_BESIDE_BYTES = 65536  # in a row that belong to no body: a head, trailers


class BrokenAnswerError(OSError):
    """The answer is not HTTP, or broke off."""


class Headers(Mapping[str, str]):
    """An answer's headers, by names in any case; what is given twice is joined by commas."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def add(self, name: str, value: str) -> None:
        """Take in one more."""
        key = name.lower()
        self._found[key] = f"{self._found[key]}, {value}" if key in self._found else value

    def __getitem__(self, name: str) -> str:
        return self._found[name.lower()]

    def get(self, name: str, default: Any = None) -> Any:
        """Return a header's value, or `default` where there is none; Mapping's own raises and catches for that."""
        return self._found.get(name.lower(), default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


@dataclass(frozen=True)
class Answer:
    """What came; `is_cut` where the body was longer than was wanted, or a refusal whose body was not read."""

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
        self._send(call, request)
        reading = _Reading(has_body=method != "HEAD", max_bytes=max_bytes, read_refusals=read_refusals)
        try:
            while not reading.is_over:
                self._socket.settimeout(call.left_s(call.read_timeout_s))
                reading.take(self._socket.recv(_PIECE_BYTES))
        finally:
            reading.let_go()
        self.is_reusable = reading.stays_open
        return Answer(reading.status, reading.headers, bytes(reading.body), reading.is_cut)

    def _send(self, call: Call, request: bytes) -> None:
        """Send piece by piece: `sendall` over TLS would give each piece the whole time."""
        left = memoryview(request)
        while left:
            self._socket.settimeout(call.left_s(call.deadline_s))
            left = left[self._socket.send(left) :]


class _Reading:
    """An answer as it comes. llhttp calls the methods that begin with `on_`."""

    def __init__(self, *, has_body: bool, max_bytes: int, read_refusals: bool) -> None:
        self._has_body, self._max_bytes, self._read_refusals = has_body, max_bytes, read_refusals
        self._parser = httptools.HttpResponseParser(self)
        # What old servers do: lines without CR, a length beside chunks, spaces after a chunk's. It misleads nobody.
        self._parser.set_dangerous_leniencies(
            lenient_optional_cr_before_lf=True, lenient_chunked_length=True, lenient_spaces_after_chunk_size=True
        )
        self._beside_bytes = 0
        self._is_in_body = False
        self._unpacking: _Unpacking | None = None
        self.status, self.headers, self.body = 0, Headers(), bytearray()
        self.is_over = self.is_cut = self.stays_open = False

    def take(self, data: bytes) -> None:
        """Read on; no bytes are the connection's end. Raises BrokenAnswerError."""
        if not data:
            self._end_with_connection()
            return
        self._beside_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if error.__context__ is not None:
                raise error.__context__ from None  # what a method of ours raised
            if not self.is_over:
                raise BrokenAnswerError(type(error).__name__) from None  # its text may show what came
            self.stays_open = False  # more came than was said
        if self._beside_bytes > _MAX_BESIDE_BYTES and not self.is_over:
            raise BrokenAnswerError("a head or trailers without an end")

    def let_go(self) -> None:
        """Part from the parser, which holds this object: nothing waits for the collector of cycles."""
        del self._parser

    def on_message_begin(self) -> None:
        self.stays_open = False  # after the answer's end: more came than was said

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_body:  # else it is a trailer
            self.headers.add(name.decode("latin-1"), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        if self.is_over:
            return
        self.status = self._parser.get_status_code()
        if self.status < 100:
            raise BrokenAnswerError("no status of HTTP")
        if self.status < 200:
            self.headers = Headers()  # it only says "go on"
            return
        self._is_in_body, self._beside_bytes = True, 0
        if self.status >= 300 and not self._read_refusals:
            self.is_over = self.is_cut = True
        elif not self._has_body:
            self._end()
        elif self.headers.get("content-encoding", "").lower() in ("gzip", "x-gzip", "deflate"):
            self._unpacking = _Unpacking()

    def on_body(self, data: bytes) -> None:
        self._beside_bytes = 0
        if self.is_over:
            self.stays_open = False
            return
        if not self._is_in_body:
            raise BrokenAnswerError('a body of what only says "go on"')
        for piece in self._unpacking.unpack(data) if self._unpacking else (data,):
            self.body += piece
            if len(self.body) > self._max_bytes:
                del self.body[self._max_bytes :]
                self.is_over = self.is_cut = True
                return

    def on_message_complete(self) -> None:
        if self._is_in_body and not self.is_over:
            self._end()

    def _end_with_connection(self) -> None:
        has_length = "content-length" in self.headers or "chunked" in self.headers.get("transfer-encoding", "").lower()
        if has_length or not self._is_in_body:
            raise BrokenAnswerError("it ended before its answer did")
        self._end()
        self.stays_open = False

    def _end(self) -> None:
        if self._unpacking and not self._unpacking.is_whole:
            raise BrokenAnswerError("the packed body broke off")
        told = self.headers.get("connection", "").lower()
        self.stays_open = "keep-alive" in told if self._parser.get_http_version() == "1.0" else "close" not in told
        self.is_over = True


class _Unpacking:
    """gzip or zlib, unpacked bit by bit, so that a little that unpacks to very much can be cut off."""

    def __init__(self) -> None:
        self._codec, self._is_empty = zlib.decompressobj(wbits=47), True

    @property
    def is_whole(self) -> bool:
        """Whether all came; nothing at all is a whole body too."""
        return self._is_empty or self._codec.eof

    def unpack(self, packed: bytes) -> Iterator[bytes]:
        """Yield what these bytes hold, in pieces. Raises BrokenAnswerError."""
        self._is_empty, piece = False, b""
        try:
            while (packed or len(piece) == _PIECE_BYTES) and not self._codec.eof:
                piece = self._codec.decompress(packed, _PIECE_BYTES)
                yield piece
                packed = self._codec.unconsumed_tail
        except zlib.error:
            raise BrokenAnswerError("the body cannot be unpacked") from None
