"""Servers and clients of the HTTP tests, closed afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from partners.http import HttpClient, Response
from tests.partners.wire import Reply, Wire, says


@pytest.fixture
def serve() -> Iterator[Callable[..., Wire]]:
    started: list[Wire] = []

    def start(reply: Reply | bytes, **options: Any) -> Wire:
        started.append(Wire(says(reply) if isinstance(reply, bytes) else reply, **options))
        return started[-1]

    yield start
    for wire in started:
        wire.stop()


@pytest.fixture
def make_client() -> Iterator[Callable[..., HttpClient]]:
    made: list[HttpClient] = []

    def make(**options: Any) -> HttpClient:
        made.append(HttpClient(partner="hook", **options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def ask(make_client: Callable[..., HttpClient]) -> Callable[..., Response]:
    """Send one request with a fresh client; options of the client come in `client`."""

    def send(url: str, client: dict[str, Any] | None = None, **options: Any) -> Response:
        return make_client(**(client or {})).request(
            "POST", url, **{"step": "send", "unknown_on_lost": True, **options}
        )

    return send
