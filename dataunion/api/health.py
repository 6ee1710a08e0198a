"""/healthz: the process answers. /readyz: it can work. For load balancers and probes; no sign-in, no REST framework."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from dataunion.clock import db_now
from dataunion.diagnosis import vitals

log = logging.getLogger(__name__)


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer while the process lives; nothing else is asked."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when the database is reachable and migrated, else 503 with what is wrong.

    `last_tick_s` is how long ago the clock's work was done last, null for never: a web process without beat is ready,
    but somebody should look.
    """
    facts: dict[str, Any] = {"database": "ok", "migrations": "ok", "last_tick_s": None}
    try:
        missing = vitals.count_missing_migrations()
        if missing:
            facts["migrations"] = f"{missing} missing; run ./run manage migrate"
        else:
            facts["last_tick_s"] = _last_tick_s(db_now())
    except Exception as error:  # whatever it is, this process cannot work now
        log.warning("readyz.failed", exc_info=error)
        facts.update(database=f"unreachable ({type(error).__name__})", migrations="unknown")
    ready = facts["database"] == facts["migrations"] == "ok"
    return JsonResponse({"status": "ok" if ready else "not ready", **facts}, status=200 if ready else 503)


def _last_tick_s(now: datetime) -> float | None:
    ran_at = vitals.read_last("tick")
    return None if ran_at is None else round((now - ran_at).total_seconds(), 1)
