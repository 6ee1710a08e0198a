"""An old database for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dataunion.adoption.old_deployment import serve_old


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    """Give its address; nothing is in it yet."""
    with serve_old() as uri:
        yield uri
