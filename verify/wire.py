"""HTTP as the verification needs it: keep-alive per thread, patience with what passes, no redirects, no proxies."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
ATTEMPTS = 5
LONGEST_PAUSE_S = 3.0


class UnreachableError(Exception):
    """Something that must be read cannot be: the verification has no verdict (exit 2)."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, its body read in full."""

    status: int
    body: bytes
    retry_after_s: float = 0.0


class Wire:
    """A client for any number of threads; each keeps its own connections, until the block of `with` ends."""

    def __init__(self, timeout_s: float = 30.0) -> None:
        self._timeout_s = timeout_s
        self._local = threading.local()
        self._opened: list[http.client.HTTPConnection] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for connection in self._opened:
            connection.close()

    def request(self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        """Return the answer; one that may pass (429, 5xx, a broken connection) is asked for again, 5 times in all.

        Raises UnreachableError when no answer comes, ValueError when `url` cannot be asked for at all.
        """
        problem: Exception | None = None
        answer: Answer | None = None
        for attempt in range(ATTEMPTS):
            if attempt:
                wanted = answer.retry_after_s if answer else 0.0
                time.sleep(min(max(0.05 * 2**attempt, wanted), LONGEST_PAUSE_S))
            try:
                answer = self._once(method, url, headers or {}, body)
            except (OSError, http.client.HTTPException) as error:
                answer, problem = None, error
                continue
            if answer.status not in PASSING:
                return answer
        if answer is None:
            host = urlsplit(url).netloc
            raise UnreachableError(f"{host} does not answer ({type(problem).__name__}: {problem})")
        return answer

    def _once(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not an http URL")
        target = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
        if not target.isascii() or not target.isprintable() or " " in target:
            raise ValueError("the URL holds characters that no URL may hold")
        connection = self._connection(parts.scheme, parts.netloc)
        try:
            connection.request(method, target, body or None, dict(headers))
            response = connection.getresponse()
            return Answer(response.status, response.read(), _seconds(response.getheader("Retry-After")))
        except BaseException:
            connection.close()
            raise

    def _connection(self, scheme: str, netloc: str) -> http.client.HTTPConnection:
        pool: dict[tuple[str, str], http.client.HTTPConnection] = self._local.__dict__.setdefault("pool", {})
        if (scheme, netloc) not in pool:
            kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
            pool[scheme, netloc] = kind(netloc, timeout=self._timeout_s)
            self._opened.append(pool[scheme, netloc])
        return pool[scheme, netloc]


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdigit() else 0.0
