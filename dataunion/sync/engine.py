"""The main flow: while a partner has due jobs, claim a chunk and take it through the adapter's steps (chunk.py)."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta

from django.db import Error, connection

from dataunion import claims, gate, ledger, roster
from dataunion.clock import db_now
from dataunion.conf import conf
from dataunion.models import Partner, SyncJob
from dataunion.sync.chunk import Chunk
from dataunion.sync.decisions import is_limit, peace_s
from dataunion.sync.dispatch import nudge_later
from dataunion.sync.pulse import Pulse
from partners.base import Partner as Adapter
from partners.errors import MisconfiguredError, PartnerError, TransientError

log = logging.getLogger(__name__)
_DATABASE_S = 0.5  # between two looks whether the database is back


def push(name: str) -> int:
    """Work on one partner's due jobs until there are none or the time is up; return how many were taken."""
    row = roster.get_partner(name)
    if not gate.admits(row):
        return 0
    adapter = _ready_adapter(row)
    if adapter is None:
        return 0
    taken, stop_at = 0, time.monotonic() + conf().sync_push_s
    with ExitStack() as held:
        signer = _take_signer(adapter, held)
        if adapter.signer and signer is None:
            return 0
        threads = held.enter_context(ThreadPoolExecutor(conf().sync_threads, thread_name_prefix=name))
        heard: Pulse | None = None  # of the chunk before, until the breaker is told
        try:
            while time.monotonic() < stop_at and not (heard and heard.is_over):
                if signer and not _look_at_signer(row, adapter, signer):
                    break
                newcomers, asked_at = signer.room_for_newcomers() if signer else None, db_now()
                report = heard.report if heard else None
                jobs = claims.claim(name, limit=conf().sync_chunk, newcomers=newcomers, report=report)
                taken += len(jobs)
                if not jobs:
                    _come_back(row, asked_at)
                    break
                heard = _run(row, adapter, jobs, threads, signer)
        finally:
            if heard:
                heard.report_now()  # where no claim told it
    return taken


def _come_back(row: Partner, now: datetime) -> None:
    """Have a worker come again when the next job becomes due, if that is before the next tick."""
    due_at = SyncJob.objects.next_due(row.name, now, now + timedelta(seconds=conf().sync_tick_s))
    if due_at:
        nudge_later(row.name, roster.queue(row), (due_at - now).total_seconds())


def _run(
    row: Partner, adapter: Adapter, jobs: list[SyncJob], threads: ThreadPoolExecutor, signer: ledger.SignerLease | None
) -> Pulse:
    """Take a chunk as far as it goes; return what it heard of the partner."""
    try:
        chunk = Chunk(row, adapter, jobs, threads, signer)
        chunk.run()
    except Exception:
        # The database failed us, or our own code did: nobody's crash. What cannot be let go is rescued.
        _put_back(jobs)
        raise
    return chunk.pulse


def _put_back(jobs: list[SyncJob]) -> None:
    """Let go of a chunk; a database that is away is waited for as long as the lease lasts."""
    give_up_at = time.monotonic() + conf().sync_lease_s
    while True:
        try:
            claims.let_go(jobs, db_now() + timedelta(seconds=conf().sync_tick_s))
            return
        except Error:
            if time.monotonic() > give_up_at:
                raise
            connection.close_if_unusable_or_obsolete()
            time.sleep(_DATABASE_S)


def _ready_adapter(row: Partner) -> Adapter | None:
    """Return the adapter whose configuration was checked; a wrong one pauses the partner."""
    try:
        adapter = roster.get_adapter(row)
        if row.checked_version != row.version:
            roster.check_adapter(row)
    except MisconfiguredError as error:
        _pause(row, error)
        return None
    except PartnerError as error:
        _calm_down(row, error)
        return None
    except Error:
        raise  # the database's trouble says nothing of the configuration
    except Exception as error:
        # Without its message, which may hold secrets of the configuration.
        _pause(row, MisconfiguredError(f"{row.name}: checking its configuration raised {type(error).__name__}."))
        return None
    return adapter


def _pause(row: Partner, error: MisconfiguredError) -> None:
    log.error("sync.partner.misconfigured", extra={"partner": row.name, "cause": error.message})
    roster.pause_misconfigured(row, reason=error.message)


def _calm_down(row: Partner, error: PartnerError) -> None:
    """Leave a partner alone for a while that could not even be asked."""
    log.warning("sync.partner.unreachable", extra={"partner": row.name, "cause": error.message})
    seconds = peace_s(error) if isinstance(error, TransientError) else conf().sync_tick_s
    gate.ask_for_peace(row.name, db_now() + timedelta(seconds=seconds))
    if not is_limit(error):
        with gate.hold(row.name) as held:
            if held:
                held.report_unreached()


def _take_signer(adapter: Adapter, held: ExitStack) -> ledger.SignerLease | None:
    if not adapter.signer:
        return None
    lease = ledger.take_signer(
        chain_id=int(adapter.config["chain_id"]),
        address=adapter.signer,
        max_unmined=int(adapter.config["max_unmined"]),
    )
    if lease:
        held.callback(lease.let_go)
    return lease


def _look_at_signer(row: Partner, adapter: Adapter, signer: ledger.SignerLease) -> bool:
    try:
        signer.note(adapter.look_at_signer(signer.unmined()))
    except MisconfiguredError as error:
        _pause(row, error)
        return False
    except PartnerError as error:
        _calm_down(row, error)
        return False
    return signer.renew(db_now())
