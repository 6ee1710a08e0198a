"""What every sandbox server shares: a threaded HTTP server on loopback, a log, fault switches, and rude endings.

A server is a `Sandbox` with `answer(request)`. The paths under `/_sandbox/` arm faults and read the log and whatever
else the server has to show (`views`).
"""

from __future__ import annotations

import json
import math
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from http.client import HTTPConnection, HTTPException
from typing import Any, ClassVar
from urllib.parse import urlsplit

from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from partners.sandbox.faults import Fault, Faults

Environ = dict[str, Any]
Entry = dict[str, Any]
CONTROL = "/_sandbox/"
HTML = "<!doctype html><title>Welcome</title><p>Please sign in to use this network."


class Hangup(ConnectionError):  # noqa: N818 - not a mistake, an order
    """Close the connection without an answer; with `reset` the peer gets an RST instead of an orderly end."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__("hang up")
        self.reset = reset


class Log:
    """A thread-safe list of what a server was asked, oldest first. Entries may be completed later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []

    def add(self, **fields: Any) -> Entry:
        """Append an entry, stamped with the time in seconds since 1970; returns it for `complete`."""
        entry = {"at": time.time(), **fields}
        with self._lock:
            self._entries.append(entry)
        return entry

    def complete(self, entry: Entry, **fields: Any) -> None:
        """Change an entry already in the list."""
        with self._lock:
            entry.update(fields)

    def snapshot(self) -> list[Entry]:
        """Return copies of all entries."""
        with self._lock:
            return [dict(entry) for entry in self._entries]


class Sandbox:
    """Base of the sandbox servers; a WSGI application. `kinds` are the faults it knows how to commit."""

    kinds: ClassVar[frozenset[str]]

    def __init__(self) -> None:
        self.faults = Faults()
        self.log = Log()
        self.stopping = threading.Event()

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        handle = self._control if request.path.startswith(CONTROL) else self.answer
        return handle(request)(environ, start_response)  # type: ignore[no-any-return]

    def answer(self, request: Request) -> Response:
        """Answer a request, or raise Hangup."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what the server holds; called once, after the last request."""

    def views(self) -> dict[str, Callable[[], Any]]:
        """Return what `GET /_sandbox/<name>` shows, by name."""
        return {"log": self.log.snapshot, "faults": self.faults.counts}

    def hold(self, seconds: float) -> None:
        """Keep the caller waiting, no longer than the server lives."""
        self.stopping.wait(seconds)

    def drip(self, request: Request, response: Response, seconds: float) -> Response:
        """Send a whole answer, head included, one byte every `seconds`, then hang up."""
        connection = request.environ["werkzeug.socket"]
        head = "".join(f"{name}: {value}\r\n" for name, value in response.headers)
        for byte in f"HTTP/1.1 {response.status}\r\n{head}\r\n".encode() + response.get_data():
            connection.sendall(bytes([byte]))
            if self.stopping.wait(seconds):
                break
        raise Hangup

    def _control(self, request: Request) -> Response:
        name, views, problem = request.path.removeprefix(CONTROL), self.views(), None
        if request.method == "GET" and name in views:
            return json_response(views[name]())
        if (request.method, name) == ("DELETE", "faults"):
            self.faults.disarm()
        elif (request.method, name) == ("POST", "faults"):
            problem = self._arm(request)
        else:
            return json_response({"error": f"GET one of {', '.join(sorted(views))}; POST or DELETE faults"}, 404)
        return json_response({"error": problem}, 400) if problem else json_response(self.faults.counts())

    def _arm(self, request: Request) -> str | None:
        try:
            fault = Fault(**json.loads(request.get_data()))
        except (TypeError, ValueError) as error:
            return f"the body should hold a JSON object with the fields of a fault: {error}"
        if fault.kind not in self.kinds:
            return f"there is no fault {fault.kind!r} here, only {', '.join(sorted(self.kinds))}"
        self.faults.arm(fault)
        return None


class Server:
    """A running sandbox: its address, its switches, its log."""

    def __init__(self, sandbox: Sandbox, port: int) -> None:
        self._sandbox = sandbox
        self._http = make_server("127.0.0.1", port, sandbox, threaded=True, request_handler=_Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self.faults = sandbox.faults

    def log(self) -> list[Entry]:
        """Return what the server was asked, oldest first."""
        return self._sandbox.log.snapshot()

    def view(self, name: str) -> Any:
        """Return what `GET /_sandbox/<name>` would show."""
        return self._sandbox.views()[name]()

    def stop(self) -> None:
        """Stop answering, wake every held request, close the port. Stopping again does nothing."""
        if self._sandbox.stopping.is_set():
            return
        self._sandbox.stopping.set()
        self._http.shutdown()
        self._thread.join()
        self._sandbox.close()


def ask(url: str, body: bytes | None = None, *, timeout_s: float) -> bytes | None:
    """GET a sandbox's URL, or POST it a JSON body; return the body of a 2xx answer, None where there was none."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=timeout_s)
    target = parts._replace(scheme="", netloc="").geturl()
    try:
        connection.request("GET" if body is None else "POST", target, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        return content if answer.status // 100 == 2 else None
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Make a JSON answer."""
    return Response(json.dumps(value), status, headers, content_type="application/json")


def retry_after(fault: Fault) -> list[tuple[str, str]]:
    """Return the headers that ask the client to come back later, as the fault has them."""
    said = fault.text.split("\n") if fault.text else [str(math.ceil(fault.seconds))]
    return [("Retry-After", value) for value in said]


def html_response() -> Response:
    """Make the page that a captive network or a proxy answers with, status 200."""
    return Response(HTML, 200, content_type="text/html; charset=utf-8")


class _Handler(WSGIRequestHandler):  # type: ignore[misc]  # werkzeug is Any to mypy here
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write nothing: the sandbox has its own log."""

    def connection_dropped(self, error: BaseException, environ: Environ | None = None) -> None:
        """Close the socket at once when the sandbox hangs up, ahead of the orderly end that HTTP would give it."""
        self.close_connection = True
        if isinstance(error, Hangup):
            if error.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())


Reply = Callable[[Request, Fault, Entry], Response]
