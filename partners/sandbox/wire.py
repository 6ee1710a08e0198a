"""Answers that only a broken or hostile server gives. Every sandbox server but the chain's knows these kinds:

`huge_answer` zeros without a length and without an end · `huge_length` the same under a Content-Length of 1 GB ·
`short_answer` half of what its length promises · `gzip_bomb` 1 GB of zeros in 1 MB · `redirect` a status and a
Location, which the fault's `text` holds ("307 http://…"; empty for the cloud's metadata service).
The log's entry gets `sent`: how many bytes of such an answer the client took.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from itertools import chain, repeat

from werkzeug.wrappers import Request, Response

from partners.sandbox.control import Entry, Hangup, Sandbox
from partners.sandbox.faults import Fault

METADATA_SERVICE = "http://169.254.169.254/latest/meta-data/"  # link-local: what a redirect must never reach
GIGABYTE = 1 << 30
_BLOCK = bytes(1 << 16)
_OK = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"


def _zeros() -> Iterator[bytes]:
    return repeat(_BLOCK)


def _gigabyte() -> Iterator[bytes]:
    return repeat(_BLOCK, GIGABYTE // len(_BLOCK))


def _half() -> Iterator[bytes]:
    return iter([bytes(500)])


def _bomb() -> Iterator[bytes]:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    return filter(None, chain((squeeze.compress(block) for block in _gigabyte()), iter(lambda: squeeze.flush(), b"")))


_STREAMS: dict[str, tuple[str, Callable[[], Iterator[bytes]]]] = {
    "huge_answer": ("Connection: close", _zeros),
    "huge_length": (f"Content-Length: {GIGABYTE}", _gigabyte),
    "short_answer": ("Content-Length: 1000", _half),
    "gzip_bomb": ("Content-Encoding: gzip\r\nConnection: close", _bomb),
}
KINDS = frozenset({*_STREAMS, "redirect"})


def answer(sandbox: Sandbox, request: Request, fault: Fault, entry: Entry) -> Response:
    """Commit one of KINDS, or raise Hangup when the client has had enough."""
    if fault.kind == "redirect":
        status, _, location = (fault.text or f"307 {METADATA_SERVICE}").partition(" ")
        return Response(status=int(status), headers={"Location": location})
    header, blocks = _STREAMS[fault.kind]
    connection, sent = request.environ["werkzeug.socket"], 0
    try:
        connection.sendall(f"{_OK}{header}\r\n\r\n".encode())
        for block in blocks():
            if sandbox.stopping.is_set():
                break
            connection.sendall(block)
            sent += len(block)
    except OSError:  # it has hung up, as it should
        pass
    sandbox.log.complete(entry, sent=sent)
    raise Hangup
