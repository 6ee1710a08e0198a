"""What is answered to whom: probes to everybody, the admin's endpoints to nobody who does not say who he is."""

from __future__ import annotations

import http.client
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.test import Client

from dataunion.diagnosis.findings import Finding, ok, problem

Ask = Callable[[str, str], int]  # method, path → status
_PATIENCE_S = 10.0


@dataclass(frozen=True)
class Endpoint:
    """A question without a key or a session, and the right answers."""

    method: str
    path: str
    right: tuple[int, ...]


OPEN = (
    Endpoint("GET", "/healthz", (200,)),
    Endpoint("GET", "/readyz", (200,)),
    Endpoint("GET", "/api/schema", (200,)),
    Endpoint("GET", "/api/docs", (200,)),
)
CLOSED = (
    Endpoint("GET", "/api/users/admin/sync-stats", (401,)),
    Endpoint("POST", "/api/users/admin/retry-failed-syncs", (401,)),
    Endpoint("GET", "/api/v1/records", (401,)),
    Endpoint("POST", "/api/v1/records", (401,)),
    Endpoint("GET", "/admin/", (301, 302)),
)


def look(url: str) -> Iterator[Finding]:
    """Ask the server at `url`; without one, this very code."""
    ask = _asking(url) if url else _ask_here
    with _quiet():
        yield judge("open endpoints", OPEN, ask)
        yield judge("closed endpoints", CLOSED, ask)


def judge(check: str, endpoints: tuple[Endpoint, ...], ask: Ask) -> Finding:
    """Compare each answer with the right ones."""
    wrong = []
    for endpoint in endpoints:
        status = ask(endpoint.method, endpoint.path)
        if status not in endpoint.right:
            wrong.append(f"{endpoint.method} {endpoint.path} answers {status or 'nothing'}")
    if wrong:
        remedy = (
            "look at the web server's log" if endpoints is OPEN else "let nothing answer in its place, no proxy either"
        )
        return problem(check, "; ".join(wrong), remedy)
    paths = ", ".join(dict.fromkeys(endpoint.path for endpoint in endpoints))
    return ok(check, f"{paths} {'answer' if endpoints is OPEN else 'refuse whoever does not say who he is'}")


def _ask_here(method: str, path: str) -> int:
    host = next((name.removeprefix(".") for name in settings.ALLOWED_HOSTS if name != "*"), "localhost")
    client = Client(raise_request_exception=False, headers={"host": host})
    return client.generic(method, path, secure=settings.BASE_URL.startswith("https://")).status_code


def _asking(url: str) -> Ask:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection

    def ask(method: str, path: str) -> int:
        connection = kind(parts.hostname or "", parts.port, timeout=_PATIENCE_S)
        try:
            connection.request(method, parts.path.rstrip("/") + path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    return ask


@contextmanager
def _quiet() -> Iterator[None]:
    """Let refusals that are asked for stay out of the log."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):  # there may be no folder of collected static files here
            yield
    finally:
        logging.disable(before)
