"""HTTP to a partner: every outcome is an answer or one of `partners.errors`. No other file sends HTTP.

No redirects, cookies, proxies or .netrc: a request goes where its URL says, once, and retries are the engine's.
"""

from __future__ import annotations

import json as json_codec
import re
import ssl
import threading
from base64 import b64encode
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlsplit

import certifi

from partners import answers, dial
from partners.answers import Response, redact_url
from partners.errors import MisconfiguredError, PartnerError, TransientError, UnknownOutcome
from partners.exchange import Answer, Connection

__all__ = ["HttpClient", "Response", "redact_url"]

_MAX_IDLE = 32  # connections to one host that are kept for the next request
_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|^\s|[^\x00-\xff]")
_PLAIN_HOST = re.compile(r"[0-9A-Za-z_.:%-]+")
_SAFE = "!#$%&'()*+,/:;=?@[]~"  # what stays as it is in path and query


class _WrongUrlError(Exception):
    """What was given is no URL."""


class _WrongHeaderError(Exception):
    """A header holds what HTTP forbids."""


@dataclass(frozen=True)
class _Target:
    """Where a request goes: a host and port over HTTP or HTTPS, and what is asked for there."""

    scheme: str
    host: str
    port: int
    path: str
    login: str = ""

    @property
    def shown_host(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


class HttpClient:
    """One partner's connections. Thread-safe; `deadline_s` bounds all of a request but the system's DNS look-up."""

    def __init__(
        self,
        *,
        partner: str,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 15.0,
        deadline_s: float = 25.0,
        max_bytes: int = 1_000_000,
        allow_private: bool = True,
        headers: Mapping[str, str] | None = None,
        ca_file: str | None = None,
        resolve: dial.Resolve = dial.look_up,
    ) -> None:
        self._partner = partner
        self._connect_timeout_s, self._read_timeout_s = connect_timeout_s, read_timeout_s
        self._deadline_s, self._max_bytes = deadline_s, max_bytes
        self._allow_private, self._resolve = allow_private, resolve
        self._headers = {"User-Agent": "DataUnion", "Accept-Encoding": "identity", **(headers or {})}
        self._ca_file = ca_file or certifi.where()
        self._tls: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        self._idle: defaultdict[tuple[str, str, int], list[Connection]] = defaultdict(list)

    def request(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        step: str,
        unknown_on_lost: bool,
        check_status: bool = True,
        truncate: bool = False,
        max_bytes: int | None = None,
    ) -> Response:
        """Send one request and return its whole answer; `check_status=False` returns a refusal as it is.

        An answer over `max_bytes` (the client's own, unless given) is an error, or with `truncate` cut off there.
        Raises TransientError, PermanentError, MisconfiguredError; and where the request may have arrived but no
        answer did, UnknownOutcome if `unknown_on_lost`.
        """
        source, call = f"{self._partner}: {step}", self._call()
        given = {**self._headers, **(headers or {})}
        if json is not None:
            data = json_codec.dumps(json, allow_nan=False).encode()
            given.setdefault("Content-Type", "application/json")
        limit = max_bytes or self._max_bytes
        target, request = _prepare(source, method, url, given, data)
        try:
            answer = self._ask(call, target, method, request, max_bytes=limit, read_refusals=not check_status)
        except dial.PrivateAddressError as error:
            told = f"{error} leads into a private network, which is refused; set allow_private if it should"
            raise MisconfiguredError(f"{source}: {told}") from None
        except OSError as error:
            raise _lost(call, f"{source}: {target.host}", error, unknown_on_lost=unknown_on_lost) from None
        if check_status:
            answers.check_status(answer.status, answer.headers, source, datetime.now(UTC))
        if answer.is_cut and not truncate:
            message = f"{source}: the answer is longer than {limit} bytes and was cut off"
            raise TransientError(message, http_status=answer.status)
        return Response(status=answer.status, headers=answer.headers, body=answer.body, source=source)

    def _ask(self, call: dial.Call, target: _Target, method: str, request: bytes, **how: Any) -> Answer:
        """Ask on a connection that is open already, else on a new one, which is kept if it can be asked again."""
        origin = (target.scheme, target.host, target.port)
        connection = self._take(origin) or self._open(call, target)
        try:
            return connection.ask(call, method, request, **how)
        finally:
            self._give_back(origin, connection)

    def _open(self, call: dial.Call, target: _Target) -> Connection:
        tls = self._make_tls() if target.scheme == "https" else None
        return Connection(call.open(target.host, target.port, tls))

    def _make_tls(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                self._tls = ssl.create_default_context(cafile=self._ca_file)
                self._tls.set_alpn_protocols(["http/1.1"])
            return self._tls

    def _take(self, origin: tuple[str, str, int]) -> Connection | None:
        while True:
            with self._lock:
                if not self._idle[origin]:
                    return None
                connection = self._idle[origin].pop()
            if connection.is_quiet():
                return connection
            connection.close()

    def _give_back(self, origin: tuple[str, str, int], connection: Connection) -> None:
        with self._lock:
            if connection.is_reusable and len(self._idle[origin]) < _MAX_IDLE:
                self._idle[origin].append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            idle = [connection for connections in self._idle.values() for connection in connections]
            self._idle.clear()
        for connection in idle:
            connection.close()

    def _call(self) -> dial.Call:
        return dial.Call(
            connect_timeout_s=self._connect_timeout_s,
            read_timeout_s=self._read_timeout_s,
            deadline_s=self._deadline_s,
            ends_at=monotonic() + self._deadline_s,
            allow_private=self._allow_private,
            resolve=self._resolve,
        )


def _prepare(
    source: str, method: str, url: str, headers: Mapping[str, str], data: bytes | None
) -> tuple[_Target, bytes]:
    """Return where a request goes, and its bytes. Raises MisconfiguredError."""
    try:
        target = _parse(url)
        return target, _compose(method, target, headers, data)
    except _WrongUrlError:
        raise MisconfiguredError(f"{source}: the URL is not one; it should look like https://host/path") from None
    except _WrongHeaderError:
        raise MisconfiguredError(f"{source}: a header holds a character that HTTP forbids") from None


def _parse(url: str) -> _Target:
    """Take a URL apart; a name in other letters than ASCII's goes as DNS has it."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
        if not host.isascii():
            host = host.encode("idna").decode()
    except ValueError:
        raise _WrongUrlError from None
    if parts.scheme not in _PORTS or not _PLAIN_HOST.fullmatch(host):
        raise _WrongUrlError
    path = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
    login = parts.netloc.rpartition("@")[0]
    return _Target(parts.scheme, host, _PORTS[parts.scheme] if port is None else port, path, login)


def _compose(method: str, target: _Target, headers: Mapping[str, str], data: bytes | None) -> bytes:
    """Return the request as it goes over the wire."""
    lines = [f"{method} {target.path} HTTP/1.1"]
    for name, value in {"Host": target.shown_host, **headers}.items():
        if not _NAME.fullmatch(name) or _FORBIDDEN.search(value):
            raise _WrongHeaderError
        lines.append(f"{name}: {value}")
    if target.login and "Authorization" not in headers:
        lines.append(f"Authorization: Basic {b64encode(unquote_to_bytes(target.login)).decode()}")
    if data is not None or method not in ("GET", "HEAD"):
        lines.append(f"Content-Length: {len(data or b'')}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (data or b"")


def _lost(call: dial.Call, who: str, error: Exception, *, unknown_on_lost: bool) -> PartnerError:
    """Say what a broken request means: before anything was sent it is harmless, afterwards nobody knows."""
    if call.phase == "look_up":
        return TransientError(f"{who} was not found by DNS; check the name in the URL")
    if call.phase == "connect":
        cause = "offers no TLS that we trust" if isinstance(error, ssl.SSLError) else "cannot be connected to"
        return TransientError(f"{who} {cause}; nothing was sent")
    late = isinstance(error, TimeoutError)
    message = f"{who} {'did not answer in time' if late else 'broke off before its answer was whole'}"
    return UnknownOutcome(message) if unknown_on_lost else TransientError(message)
