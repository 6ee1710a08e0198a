"""The sandboxes' faults: what was let go counts for nothing afterwards."""

from __future__ import annotations

from partners.sandbox.faults import Fault, Faults


def test_a_fault_that_was_let_go_leaves_no_count_to_the_next() -> None:
    faults = Faults()
    for _ in range(50):  # sooner or later the next one stands where the one before stood
        faults.arm(Fault(kind="put_500", times=1, skip=1))

        assert faults.take(["put_500"], "a") is None
        assert faults.take(["put_500"], "a") is not None
        faults.disarm()

    assert faults.counts() == {"put_500": 50}
