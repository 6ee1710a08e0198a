"""An S3-like sink for benchmarks: real HTTP on loopback, as cheap as Python allows, in a process of its own.

It keeps of each object what S3 tells of it (MD5 as ETag, size) and how often it was put, not its bytes; signatures are
not checked. So its memory does not depend on what is sent, and its share of the machine is the same for everybody.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from hashlib import md5
from typing import Any

from benchmarks._processes import ROOT

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_EXPECT = re.compile(rb"(?i)\r\nexpect: *100-continue")
_REPORT = "/-/report"
_TYPE = "Content-Type: application/octet-stream"


class _Objects:
    """What was stored: path to [ETag, size, times it was put]; and when the first was, by the monotonic clock."""

    def __init__(self) -> None:
        self.stored: dict[str, list[Any]] = {}
        self.requests = 0
        self.first_at = 0.0

    def answer(self, method: str, path: str, body: bytes) -> bytes:
        """Return the whole answer to one request."""
        if path == _REPORT:
            told = {"objects": self.stored, "requests": self.requests, "first_at": self.first_at}
            return _answer("200 OK", json.dumps(told).encode())
        self.requests += 1
        self.first_at = self.first_at or time.monotonic()
        if method == "PUT":
            _, _, times = self.stored.get(path, ("", 0, 0))
            self.stored[path] = [md5(body, usedforsecurity=False).hexdigest(), len(body), times + 1]
            return _answer("200 OK", b"", f'ETag: "{self.stored[path][0]}"\r\n')
        if path.count("/") == 1:  # a bucket: there is any
            return _answer("200 OK", b"")
        if method == "HEAD" and path in self.stored:
            etag, size, _ = self.stored[path]
            return f'HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n{_TYPE}\r\nETag: "{etag}"\r\n\r\n'.encode()
        return _answer("404 Not Found", b"")


def _answer(status: str, body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


class _Connection(asyncio.Protocol):
    """One client: requests one after the other, each answered `delay_s` after it was whole."""

    def __init__(self, objects: _Objects, delay_s: float) -> None:
        self._objects, self._delay_s = objects, delay_s
        self._came = bytearray()
        self._told_to_go_on = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Take bytes in; answer once a request is whole."""
        self._came += data
        end = self._came.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._came[:end])
        found = _LENGTH.search(head)
        whole = end + 4 + (int(found[1]) if found else 0)
        if len(self._came) < whole:
            if _EXPECT.search(head) and not self._told_to_go_on:
                self._told_to_go_on = True
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        method, path, _ = head.split(b" ", 2)
        answer = self._objects.answer(method.decode(), path.decode(), bytes(self._came[end + 4 : whole]))
        self._came.clear()
        self._told_to_go_on = False
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._transport.write, answer)
        else:
            self._transport.write(answer)


class Sink:
    """A running sink, as the benchmark sees it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def report(self) -> dict[str, Any]:
        """Return {"objects": {path: [etag, size, times put]}, "requests", "first_at"}; asking counts as nothing."""
        with urllib.request.urlopen(self.url + _REPORT, timeout=60.0) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


@contextlib.contextmanager
def serve_sink(*, delay_ms: float = 0.0) -> Iterator[Sink]:
    """Run a sink that answers so many milliseconds after each request; it ends with the context."""
    command = [sys.executable, "-m", "benchmarks._sink", "--delay-ms", str(delay_ms)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Sink(json.loads(process.stdout.readline())["url"])
    finally:
        process.terminate()
        process.communicate()


async def _serve(delay_s: float) -> None:
    objects = _Objects()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(objects, delay_s), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    print(json.dumps({"url": f"http://{host}:{port}"}), flush=True)
    await server.serve_forever()


def main(argv: Sequence[str]) -> int:
    """Serve until terminated; the first line of output is {"url"}."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks._sink", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--delay-ms", type=float, default=0.0, help="how long each answer takes (0)")
    asyncio.run(_serve(parser.parse_args(argv).delay_ms / 1000))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
