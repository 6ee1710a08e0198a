"""The connection test of staff: a small object goes to each bucket and back, and is gone afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from partners.akave.adapter import AkavePartner
from partners.errors import MisconfiguredError, PartnerError
from partners.sandbox.control import Server
from partners.sandbox.faults import Fault

Make = Callable[..., AkavePartner]


def test_an_object_makes_the_round_trip_in_each_bucket(make_partner: Make, stored: Any) -> None:
    found = list(make_partner().probe())

    assert found == [
        sentence
        for bucket in ("checkin", "health")
        for sentence in (
            f"bucket {bucket} is there and open to this access key",
            f"an object of 64 random bytes was stored in {bucket}",
            "it was read back, byte for byte",
            "it was deleted, and is gone",
        )
    ]
    assert [key for key in stored() if "connection-test" in key] == []


def test_what_worked_before_the_trouble_is_told(make_partner: Make) -> None:
    trial = make_partner(bucket_health="nowhere").probe()

    found = [next(trial) for _ in range(4)]

    assert found[-1] == "it was deleted, and is gone"
    with pytest.raises(MisconfiguredError, match="bucket nowhere does not exist"):
        next(trial)


def test_an_object_that_cannot_be_read_back_is_deleted_all_the_same(
    make_partner: Make, s3: Server, stored: Any
) -> None:
    trial = make_partner().probe()
    next(trial), next(trial)
    s3.faults.arm(Fault(kind="get_404", match="connection-test", times=9, per_subject=9))

    with pytest.raises(PartnerError):
        next(trial)

    assert [key for key in stored() if "connection-test" in key] == []
