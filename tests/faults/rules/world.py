"""Our side of the truth at one moment: every row that the rules compare, read in a few statements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from dataunion import roster, vault
from dataunion.clock import db_now
from dataunion.models import PAYLOADS, ChainTx, DataUnion, Partner, RemoteRef, SyncAttempt, SyncJob
from dataunion.state import PartnerEntry, Status
from partners.base import Partner as Adapter
from partners.testing import FakePartner


@dataclass(kw_only=True)
class Side:
    """One record at one partner."""

    record: DataUnion
    partner: Partner
    entry: PartnerEntry
    job: SyncJob | None = None
    attempts: list[SyncAttempt] = field(default_factory=list)  # oldest first
    refs: list[RemoteRef] = field(default_factory=list)
    saved: dict[str, Any] = field(default_factory=dict)  # the one true copy of the step results, opened
    damage: str = ""  # why they do not open

    def __str__(self) -> str:
        return f"{self.partner.name} {self.record.pk}"

    @property
    def is_synced(self) -> bool:
        """Say whether the entry says so and no work is open that says otherwise."""
        return self.entry.is_synced and (self.job is None or self.job.status == Status.DONE)

    @property
    def is_withdrawn(self) -> bool:
        """Say whether the record was taken back, and not handed over again since."""
        return bool(self.entry.withdrawn_at) and not self.entry.is_synced

    @property
    def claims(self) -> int:
        """Return how often workers took this in hand, at most: each time raises the fence, which begins at 1."""
        return max(self.entry.fence, self.job.fence if self.job else 0) - 1


@dataclass(kw_only=True)
class World:
    """All rows at one moment."""

    now: datetime
    partners: dict[str, Partner]
    adapters: dict[str, type[Adapter]]
    records: dict[UUID, DataUnion]
    sides: dict[tuple[UUID, str], Side]
    strays: list[SyncJob]  # jobs whose record is not there, or is not enrolled with their partner
    lost_attempts: list[SyncAttempt]  # likewise
    payloads: dict[UUID, bytes]
    damaged: list[str]  # payloads that do not open
    txs: list[ChainTx]

    def of(self, adapter: str) -> Iterator[Side]:
        """Yield every record at the partners of this adapter."""
        return (side for side in self.sides.values() if self.kind(side.partner.name) == adapter)

    def kind(self, partner: str) -> str:
        """Return the name of a partner's adapter; whatever is made from FakePartner is fake."""
        adapter = self.adapters[partner]
        return "fake" if issubclass(adapter, FakePartner) else adapter.adapter


def read_world() -> World:
    """Read it all, on SQL as of one moment."""
    with transaction.atomic():
        partners = {row.name: row for row in roster.find_partners()}
        world = World(
            now=db_now(),
            partners=partners,
            adapters={name: roster.adapter_class(row) for name, row in partners.items()},
            records={record.pk: record for record in DataUnion.objects.all()},
            sides={},
            strays=[],
            lost_attempts=[],
            payloads={},
            damaged=[],
            txs=list(ChainTx.objects.order_by("nonce")),
        )
        _add_sides(world)
        _add_payloads(world)
    return world


def _add_sides(world: World) -> None:
    for record in world.records.values():
        for name in set(record.partners) & world.partners.keys():
            side = Side(record=record, partner=world.partners[name], entry=record.entry(name))
            world.sides[record.pk, name] = side
    for job in SyncJob.objects.all():
        if side := world.sides.get((job.record_id, job.partner)):
            side.job = job
        else:
            world.strays.append(job)
    _add_history(world)
    for side in world.sides.values():
        _open_saved(side)


def _add_history(world: World) -> None:
    for attempt in SyncAttempt.objects.order_by("number", "fence"):
        side = world.sides.get((attempt.record_id, attempt.partner))
        (side.attempts if side else world.lost_attempts).append(attempt)
    for ref in RemoteRef.objects.all():
        if side := world.sides.get((ref.record_id, ref.partner)):
            side.refs.append(ref)


def _open_saved(side: Side) -> None:
    job, text = side.job, side.entry.retry_data
    try:
        sealed = job.saved if job else (vault.from_text(text) if text else None)
        side.saved = vault.open_json(sealed, "sync", side.record.pk, side.partner.name)
    except (ValueError, vault.VaultError) as error:
        side.damage = str(error)


def _add_payloads(world: World) -> None:
    for model in PAYLOADS.values():
        for pk, sealed in model._default_manager.values_list("pk", "payload"):
            try:
                world.payloads[pk] = vault.open_sealed(bytes(sealed), model._meta.db_table, pk)
            except vault.VaultError as error:
                world.damaged.append(f"{model._meta.db_table} {pk}: {error}")
