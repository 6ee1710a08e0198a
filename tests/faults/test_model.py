"""Whatever happens in whatever order, and wherever it stops: the database is where the model says it may be."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.faults.machine import Machine, profile
from tests.faults.untransacted import without_transactions

VARIANTS = {"as_it_is": nullcontext, "without_transactions": without_transactions}
ON_SQL = pytest.mark.sql_only("one transaction")


@pytest.mark.parametrize("variant", ["as_it_is", pytest.param("without_transactions", marks=ON_SQL)])
def test_no_order_of_moves_and_crashes_leaves_what_may_not_be(variant: str) -> None:
    with VARIANTS[variant]():
        run_state_machine_as_test(Machine, settings=profile())
