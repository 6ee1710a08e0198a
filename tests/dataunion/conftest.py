"""Every test meets fake partners that hold nothing and plan nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dataunion import roster
from partners.testing import FakePartner


@pytest.fixture(autouse=True)
def _fresh_partners() -> Iterator[None]:
    FakePartner.reset()
    yield
    roster.forget_adapters()
