"""What a scenario hands to the oracle, beside the database that this process is connected to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.chronicle import Chronicle
from tests.flows.sandboxes import Sandboxes

MARKER = "planted-Zoë-marker"  # stands in every payload, and nowhere else


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What there is to look at, and what the scenario itself did that the system cannot know."""

    sandboxes: Sandboxes | None = None  # None: partners are FakePartner, FakePartner.service(name) is the witness
    logs: Sequence[Path] = ()  # files, or folders of them
    texts: Mapping[str, bytes] = field(default_factory=dict)  # whatever else no secret may stand in, by its name
    secrets: Collection[str] = ()  # API keys and others that the database does not hold in clear
    chronicle: Chronicle | None = None
    patience_s: float = 2.0  # for how long what looks wrong may be a write under way, seen between two of its rows
    at_rest: bool = True  # False: work is still open; only what must hold at any moment
    told: Collection[tuple[Any, str]] = ()  # (record id, partner) of which update_partner_sync(True) may have spoken
    foreign_txs: Collection[str] = ()  # transactions that the scenario sent with our signer's key
    hours: bool = False  # compare the hours' statistics too: only where no time was moved
    baseline_s: Sequence[float] = ()  # how long deliveries took while all was well
    healthy_s: Sequence[float] = ()  # and how long to a healthy partner while another one was in trouble
