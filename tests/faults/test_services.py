"""Vana's TEE and refinement service give answers that no honest service gives; the record gets there all the same."""

from __future__ import annotations

import pytest

from partners.sandbox.faults import Fault
from tests.faults import holes
from tests.faults.acts import only
from tests.faults.union import Union

MEGABYTE = 1 << 20


@pytest.mark.parametrize(("tee", "refiner"), [("huge_answer", "gzip_bomb"), ("redirect", "short_answer")])
def test_a_strange_answer_of_a_service_is_asked_for_again(union: Union, tee: str, refiner: str) -> None:
    only("akave", "vana")
    record = union.hand_in()
    with holes.visited() as (admin, asked):
        union.sandboxes.tee.faults.arm(Fault(kind=tee, text=f"307 {admin}"))
        union.sandboxes.refiner.faults.arm(Fault(kind=refiner))

        with holes.memory_growth() as grown:
            union.settle("akave", "vana")

        assert asked == []
    assert grown[0] < 50 * MEGABYTE
    assert union.is_synced(record, "akave", "vana")
    for server, kind in ((union.sandboxes.tee, tee), (union.sandboxes.refiner, refiner)):
        assert [entry["fault"] for entry in server.log()[-2:]] == [kind, ""]
    union.check()
