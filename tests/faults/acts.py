"""What staff and others do while a partner is in trouble, and what the rows say of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.db.models import F

from dataunion import roster
from dataunion.clock import db_now
from dataunion.models import DataUnion, Partner, SyncJob
from dataunion.state import PartnerState


def only(*partners: str) -> None:
    """Let records go to these partners alone."""
    roster.find_partners()
    Partner.objects.exclude(name__in=partners).update(state=PartnerState.OFF)


def set_options(partner: str, *, checked: bool = True, **options: str) -> None:
    """Store options of a partner as staff do; `checked`: they were good when they were looked at."""
    row = roster.get_partner(partner)
    secret = {option.name for option in roster.adapter_class(row).options if option.secret}
    plain = {**row.config, **{name: value for name, value in options.items() if name not in secret}}
    roster.configure(row, config=plain, secrets={name: value for name, value in options.items() if name in secret})
    if checked:
        call_checked(partner)


def call_checked(partner: str) -> None:
    """Let the configuration count as checked."""
    roster.get_partner(partner)
    Partner.objects.filter(name=partner).update(checked_version=F("version"))


def resume(partner: str) -> None:
    """Let staff resume a partner."""
    roster.resume(row_of(partner), by="staff")


def row_of(partner: str) -> Partner:
    """Return a partner's row."""
    return Partner.objects.get(name=partner)


def job_of(record: DataUnion, partner: str) -> SyncJob:
    """Return an open job."""
    return SyncJob.objects.get(record=record, partner=partner)


def peace_s(partner: str) -> float:
    """Return for how long a partner is left in peace."""
    return (row_of(partner).not_before - db_now()).total_seconds()


@contextmanager
def in_thread(*acts: Callable[[], Any]) -> Iterator[None]:
    """Let a worker for each of these do it meanwhile; all have ended when the block has."""

    def run(act: Callable[[], Any]) -> None:
        try:
            act()
        finally:
            connection.close()

    workers = [threading.Thread(target=run, args=[act]) for act in acts]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.join()
