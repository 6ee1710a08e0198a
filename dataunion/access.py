"""Who may do what: what each group of the staff holds; other services' keys, shown once and kept as a digest."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.db import DatabaseError
from django.utils import timezone

from dataunion.models import ApiKey

log = logging.getLogger(__name__)
_FORM = re.compile(r"du_(?P<prefix>[a-z0-9]{8})_(?P<secret>[A-Za-z0-9_-]{43})")
_PREFIX_CHARS = "abcdefghijklmnopqrstuvwxyz0123456789"
_USED_EVERY = timedelta(minutes=1)  # last_used_at is written no more often than this

OPERATE = "dataunion.operate"  # the staff's permission to retry, pause, resume and test a connection
EXPORT_PERSON = "dataunion.export_person"  # to take out all that is stored about a person
VIEWER, OPERATOR, ADMIN = "viewer", "operator", "admin"
_ADMINS_ONLY = ("user", "apikey")  # models that viewers and operators do not see
_OPERATORS = ("operate", "export_person")


def holds(group: str, app: str, codename: str) -> bool:
    """Say whether a group holds a permission: by app and codename, so that models made later are told, too."""
    if group == ADMIN:
        return app == "dataunion" or codename.endswith("_group") or (app, codename) == ("admin", "view_logentry")
    act, _, model = codename.partition("_")
    may_look = act == "view" and model not in _ADMINS_ONLY
    return app == "dataunion" and (may_look or (group == OPERATOR and codename in _OPERATORS))


def fill_groups(apps: Any, using: str) -> None:
    """Give each group what it lacks of its permissions; what else it holds stays, and one that was deleted stays so."""
    groups = apps.get_model("auth", "Group").objects.using(using).filter(name__in=(VIEWER, OPERATOR, ADMIN))
    for group in groups:
        every = apps.get_model("auth", "Permission").objects.using(using)
        found = every.values_list("pk", "content_type__app_label", "codename")
        group.permissions.add(*(pk for pk, app, codename in found if holds(group.name, app, codename)))


class Scope(StrEnum):
    """What a key may do. `admin` may do everything."""

    INGEST = "ingest"
    READ = "read"
    ADMIN = "admin"


class KeyRefusedError(Exception):
    """The key opens nothing; the message says why and what to do, and never holds the key."""


def make_key(*, name: str, scopes: Iterable[str], days: float | None = None) -> tuple[ApiKey, str]:
    """Make a key that ends after `days` (None: never); return its row and the key itself, which is kept nowhere.

    Raises ValueError for an unknown scope or none.
    """
    wanted = [scope for scope in Scope if scope in set(scopes)]
    unknown = set(scopes) - set(Scope)
    if unknown or not wanted:
        raise ValueError(f"scopes should be one or more of: {', '.join(Scope)}")
    prefix = "".join(secrets.choice(_PREFIX_CHARS) for _ in range(8))
    secret = secrets.token_urlsafe(32)
    row = ApiKey.objects.create(
        name=name,
        prefix=prefix,
        digest=_digest(secret),
        scopes=[str(scope) for scope in wanted],
        expires_at=None if days is None else timezone.now() + timedelta(days=days),
    )
    return row, f"du_{prefix}_{secret}"


def find_key(key: str, now: datetime) -> ApiKey:
    """Return the row of a key that is good at `now`. Raises KeyRefusedError."""
    form = _FORM.fullmatch(key)
    row = ApiKey.objects.filter(prefix=form["prefix"]).first() if form else None
    # Compared also where there is no row, so that the time taken does not tell which prefixes exist.
    right = hmac.compare_digest(_digest(form["secret"] if form else ""), row.digest if row else "0" * 64)
    if row is None or not right:
        raise KeyRefusedError("This API key is not known; make one with ./run manage create_api_key")
    if row.revoked_at is not None and row.revoked_at <= now:
        raise KeyRefusedError("This API key was revoked; ask for a new one")
    if row.expires_at is not None and row.expires_at <= now:
        raise KeyRefusedError("This API key has expired; ask for a new one")
    _note_use(row, now)
    return row


def _note_use(row: ApiKey, now: datetime) -> None:
    if row.last_used_at is None or row.last_used_at <= now - _USED_EVERY:
        try:
            ApiKey.objects.filter(pk=row.pk).update(last_used_at=now)
        except DatabaseError as error:  # a database that takes no writes can still be read
            log.warning("key.use.lost", extra={"prefix": row.prefix, "type": type(error).__name__})


def may(row: ApiKey, scope: str) -> bool:
    """Say whether the key has this scope."""
    return scope in row.scopes or Scope.ADMIN in row.scopes


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
