"""Failures of one cause are told by one sentence, whatever record they befell."""

from __future__ import annotations

import pytest

from dataunion.causes import LONGEST, name_cause


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("akave: upload: HTTP 503", "akave: upload: HTTP 503"),
        ("akave: upload: HTTP 429", "akave: upload: HTTP 429"),
        ("Record 018f3c1e-9d2a-7c00-8000-0123456789ab is gone.", "Record <id> is gone."),
        ("vana: transaction 0xAB12cd was dropped", "vana: transaction <hex> was dropped"),
        ("etag 9e107d9d372bb6826bd81d3542a419d6 differs", "etag <hex> differs"),
        ("not before 2026-11-28T10:11:12.123456+00:00.", "not before <time>."),
        ("no answer within 30 s", "no answer within <number> s"),
        ("no answer within 2.5 seconds", "no answer within <number> seconds"),
        ("nonce 12345 is used", "nonce <number> is used"),
        ("https://o3.example/b/k does not answer", "https://<name> does not answer"),
        ('object "health/2026/ab1" is missing', 'object "<name>" is missing'),
        ("The URL is registered by another owner/operator.", "The URL is registered by another owner/operator."),
        ("deadbeefcafe", "deadbeefcafe"),
        ("", ""),
    ],
)
def test_what_differs_from_record_to_record_is_left_out(message: str, cause: str) -> None:
    assert name_cause(message) == cause


def test_a_cause_fits_its_column() -> None:
    assert name_cause("x" * 3000) == "x" * LONGEST
