"""What the page of one partner shows above and below its form."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from dataunion import roster
from dataunion.admin.backfills import read_offer
from dataunion.admin.badges import breaker_badge, state_badge
from dataunion.admin.filters import ANY_ERROR, ON_THE_WAY
from dataunion.admin.partner_forms import option_label, say_holds
from dataunion.admin.words import show_when
from dataunion.models import Partner, SyncJob
from dataunion.state import PartnerState
from dataunion.stats import Queue, read_queues, read_waits
from partners.breaker import Breaker
from partners.errors import MisconfiguredError
from partners.requirements import MASK, masked


def read_partner_page(row: Partner, now: datetime) -> dict[str, Any]:
    """Return the page's context."""
    queue = read_queues(now).get(row.name, Queue())
    jobs = reverse("admin:dataunion_syncjob_changelist")
    return {
        "partner": row,
        "queue": queue,
        "state": state_badge(row),
        "state_at": show_when(row.state_at, now),
        "is_on": row.state == PartnerState.ON,
        "breaker": breaker_badge(row, now),
        **_trouble(row, now),
        "peace_until": show_when(row.not_before, now) if row.not_before > now else "",
        "oldest_due": show_when(queue.oldest_due, now),
        "open_url": f"{jobs}?{urlencode({'partner': row.name, 'status': ON_THE_WAY})}",
        "failed_url": f"{jobs}?{urlencode({'partner': row.name, 'status': ANY_ERROR})}",
        "configuration": _configuration(row),
        **read_offer(row),
        **_abilities(row),
        "waits": read_waits(row.name, now),
        "checked": row.checked_version == row.version,
    }


def _trouble(row: Partner, now: datetime) -> dict[str, Any]:
    """Return when a partner that does not answer is tried next, and why nothing is sent until then."""
    breaker = Breaker.load(row.breaker)
    is_shut = breaker.open_until is not None
    return {
        "next_probe": show_when(breaker.reopens_at(), now),
        "is_shut": is_shut,
        "trips": breaker.trips,
        "last_trouble": SyncJob.objects.last_trouble(row.name) if is_shut else "",
    }


_ABILITIES = {
    "push": "Takes records",
    "revoke": "Takes records back",
    "verify": "Can be asked whether a record is there, byte for byte",
    "check": "Its connection can be tested",
    "refs": "Its own names of records can be searched for",
    "sign": "Signs transactions on a chain",
}


def _abilities(row: Partner) -> dict[str, Any]:
    """Return what the adapter can do, in words, and the partners that it needs first."""
    try:
        adapter = roster.adapter_class(row)
    except MisconfiguredError:
        return {"abilities": [], "signs": False, "requires": ""}
    can = adapter.capabilities()
    return {
        "abilities": [(words, can[name]) for name, words in _ABILITIES.items()],
        "signs": can["sign"],
        "requires": ", ".join(adapter.requires),
    }


def _configuration(row: Partner) -> list[tuple[str, str, str]]:
    """Return (label, value, what it should hold) of each option; secrets as a mask."""
    try:
        options = roster.adapter_class(row).options
    except MisconfiguredError as error:
        return [("Adapter", row.adapter, error.message)]
    try:
        kept = roster.read_config(row)
    except MisconfiguredError as error:
        return [("Secrets", MASK, error.message)]
    shown = masked(options, {**{o.name: o.default or "" for o in options}, **kept})
    return [(option_label(o), shown[o.name], say_holds(o)) for o in options]
