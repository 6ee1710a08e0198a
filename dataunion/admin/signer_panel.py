"""What a partner's page says of its signer: read from the chain after the page is there, since a node may be slow."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from dataunion import roster, stats
from dataunion.admin.base import StaffAdmin, find_or_404, refuse_method
from dataunion.models import Partner
from partners.base import Funds
from partners.errors import PartnerError


def signer(model_admin: StaffAdmin, request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show address, balance, price and how long the balance lasts: a part of the page."""
    if request.method not in ("GET", "HEAD"):
        return refuse_method("GET")
    model_admin.require_view(request)
    row = find_or_404(Partner.objects.all(), str(pk), "There is no such partner.")
    try:
        funds = roster.look_at_funds(row)
    except PartnerError as error:
        return TemplateResponse(request, "admin/dataunion/signer.html", {"problem": error.message, "partner": row})
    daily = stats.read_daily(row.name, timezone.now())
    context = {"partner": row, **(_describe(funds, daily) if funds else {})}
    return TemplateResponse(request, "admin/dataunion/signer.html", context)


def _describe(funds: Funds, daily: float) -> dict[str, Any]:
    days = funds.records_left / daily if daily else None
    return {
        "funds": funds,
        "balance": f"{funds.signer.balance:.4f}",
        "per_record": f"{funds.per_record:.6f}",
        "price": f"{funds.signer.price_gwei:g}",
        "cap": f"{funds.max_price_gwei:g}",
        "records_left": funds.records_left,
        "daily": round(daily),
        "days": None if days is None else int(days),
        "is_low": not funds.records_left or (days is not None and days < funds.warn_days),
        "warn_days": f"{funds.warn_days:g}",
    }
