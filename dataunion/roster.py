"""Which partners there are: the settings' defaults, the rows over them, and the adapters built from both."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.db import IntegrityError
from django.db.models import F

from dataunion import vault
from dataunion.clock import db_now
from dataunion.models import Partner
from dataunion.state import PartnerState
from partners import registry
from partners.base import Funds
from partners.base import Partner as Adapter
from partners.errors import MisconfiguredError, PartnerError

_built: dict[str, tuple[int, Adapter]] = {}
_building = threading.Lock()


class UnknownPartnerError(ValueError):
    """No partner of this name. The message names the valid ones."""


def find_partners(*, make: bool = True) -> list[Partner]:
    """Return every partner's row, settings' ones first; a row that is still missing is made, at least in memory."""
    rows = {row.name: row for row in Partner.objects.all()}
    for name in settings.PARTNERS:
        if name not in rows:
            rows[name] = _make_row(name) if make else Partner(name=name, adapter=settings.PARTNERS[name]["BACKEND"])
    order = list(settings.PARTNERS)
    return sorted(rows.values(), key=lambda r: (order.index(r.name) if r.name in order else len(order), r.name))


def _make_row(name: str) -> Partner:
    try:
        return Partner.objects.create(name=name, adapter=settings.PARTNERS[name]["BACKEND"])
    except IntegrityError:
        return Partner.objects.get(name=name)


def find_active() -> list[Partner]:
    """Return the partners that are not off."""
    return [row for row in find_partners() if row.state != PartnerState.OFF]


def get_partner(name: str) -> Partner:
    """Return one partner's row. Raises UnknownPartnerError."""
    rows = {row.name: row for row in find_partners()}
    if name not in rows:
        raise UnknownPartnerError(f"Partner {name} not found; there are: {', '.join(rows) or 'none'}")
    return rows[name]


def read_config(row: Partner) -> dict[str, Any]:
    """Return the options in force, secrets in clear: settings' defaults under the row's own. Never show it.

    Raises MisconfiguredError where the stored secrets do not open.
    """
    defaults = settings.PARTNERS.get(row.name, {}).get("OPTIONS", {})
    try:
        return {**defaults, **row.config, **vault.open_json(row.secrets, "partners", row.pk)}
    except vault.VaultError as error:
        raise MisconfiguredError(f"{row.name}: its stored secrets cannot be opened: {error}") from None


def read_options(row: Partner) -> dict[str, Any]:
    """Return the options in force that are no secrets. Raises MisconfiguredError for an unknown adapter."""
    open_ones = {option.name for option in adapter_class(row).options if not option.secret}
    given = {**settings.PARTNERS.get(row.name, {}).get("OPTIONS", {}), **row.config}
    return {name: value for name, value in given.items() if name in open_ones}


def find_links(row: Partner, receipt: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (words, URL) of where people can look at a record that the partner has; web addresses only."""
    try:
        found = list(adapter_class(row).find_links(read_options(row), receipt))
    except MisconfiguredError:
        return []
    return [(words, url) for words, url in found if url.startswith(("https://", "http://"))]


def configure(row: Partner, *, config: dict[str, Any], secrets: dict[str, str] | None = None) -> None:
    """Store options; secrets that are not given stay as they are."""
    kept = vault.open_json(row.secrets, "partners", row.pk)
    sealed = vault.seal_json({**kept, **(secrets or {})}, "partners", row.pk)
    Partner.objects.filter(pk=row.pk).update(config=config, secrets=sealed, version=F("version") + 1)


def get_adapter(row: Partner) -> Adapter:
    """Return the partner's adapter, built once for each version of its configuration. Raises MisconfiguredError."""
    with _building:
        version, adapter = _built.get(row.name, (0, None))
        if adapter is None or version != row.version:
            fresh = registry.build(row.name, row.adapter, read_config(row))
            if adapter is not None:
                adapter.close()
            _built[row.name] = (row.version, fresh)
            return fresh
        return adapter


def adapter_class(row: Partner) -> type[Adapter]:
    """Return the adapter's class, whatever the configuration is. Raises MisconfiguredError for an unknown one."""
    return registry.load(row.adapter)


def forget_adapters() -> None:
    """Close every adapter; the next use builds it anew."""
    with _building:
        for _, adapter in _built.values():
            adapter.close()
        _built.clear()


def check_adapter(row: Partner) -> list[str]:
    """Ask the partner whether its configuration works; remember it for this version. Raises PartnerError."""
    found = list(get_adapter(row).check())
    Partner.objects.filter(pk=row.pk, version=row.version).update(checked_version=row.version)
    row.checked_version = row.version
    return found


def try_connection(row: Partner) -> tuple[list[str], str]:
    """Try a partner by a real round trip; return what worked, step by step, and what did not ("" where all did)."""
    found: list[str] = []
    try:
        for sentence in get_adapter(row).probe():
            found.append(sentence)
    except PartnerError as error:
        return found, error.message
    Partner.objects.filter(pk=row.pk, version=row.version).update(checked_version=row.version)
    return found, ""


def look_at_funds(row: Partner) -> Funds | None:
    """Ask the chain what the partner's signer has; None where there is no signer. Raises PartnerError."""
    return get_adapter(row).look_at_funds()


def pause(row: Partner, *, reason: str, by: str) -> None:
    """Stop sending; records go on being enrolled."""
    _set_state(row, PartnerState.PAUSED, reason, by)


def pause_misconfigured(row: Partner, *, reason: str) -> bool:
    """Pause a partner as the system: only if nobody switched, configured or resumed it since `row` was read."""
    same = Partner.objects.filter(
        pk=row.pk, state=PartnerState.ON, version=row.version, checked_version=row.checked_version
    )
    changes = {"state": PartnerState.PAUSED, "state_reason": reason, "state_by": "system", "state_at": db_now()}
    return same.update(**changes) == 1


def resume(row: Partner, *, by: str) -> None:
    """Send again; the next tick starts it. What the configuration says is checked anew first."""
    Partner.objects.filter(pk=row.pk).update(checked_version=0)
    _set_state(row, PartnerState.ON, "", by)


def switch_off(row: Partner, *, reason: str, by: str) -> None:
    """Stop enrolling new records, and stop sending."""
    _set_state(row, PartnerState.OFF, reason, by)


def _set_state(row: Partner, state: PartnerState, reason: str, by: str) -> None:
    row.state, row.state_reason, row.state_by, row.state_at = state, reason, by, db_now()
    row.save(update_fields=["state", "state_reason", "state_by", "state_at"])


def requirements(row: Partner) -> Iterable[str]:
    """Return the names of the partners that must have a record before this one gets it."""
    try:
        return adapter_class(row).requires
    except MisconfiguredError:
        return ()


def find_dependents(name: str) -> list[str]:
    """Return the names of the partners that wait for this one's part of a record."""
    return [row.name for row in find_partners() if name in requirements(row)]


def queue(row: Partner) -> str:
    """Return the Celery queue of the partner's adapter."""
    try:
        return f"sync.{adapter_class(row).adapter}"
    except MisconfiguredError:
        return "dataunion"
