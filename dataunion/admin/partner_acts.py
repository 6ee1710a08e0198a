"""What staff can do with a partner: pause, resume, switch off, test the connection. Each is a POST."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import mark_safe

from dataunion import backfill, roster
from dataunion.admin.base import StaffAdmin, find_or_404, go_back, name_of, note, refuse_method, require_operator
from dataunion.admin.partner_forms import ReasonForm
from dataunion.models import Partner
from dataunion.state import PartnerState
from dataunion.sync import tick

ACTS = ("pause", "resume", "switch_off", "test_connection", "backfill", "signer")
LIST = "admin:dataunion_partner_changelist"


def buttons(row: Partner) -> str:
    """Return the buttons of a partner's line in the list."""
    context = {"partner": row, "is_on": row.state == PartnerState.ON}
    return mark_safe(render_to_string("admin/dataunion/partner_buttons.html", context))  # noqa: S308 - our own template


def pause(model_admin: StaffAdmin, request: HttpRequest, pk: UUID) -> HttpResponse:
    """Ask for a reason, then stop sending; records go on being enrolled."""
    return _stop(model_admin, request, pk, off=False)


def switch_off(model_admin: StaffAdmin, request: HttpRequest, pk: UUID) -> HttpResponse:
    """Ask for a reason, then stop sending and enrolling."""
    return _stop(model_admin, request, pk, off=True)


def _stop(model_admin: StaffAdmin, request: HttpRequest, pk: UUID, *, off: bool) -> HttpResponse:
    require_operator(request)
    row = _find(pk)
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if request.method != "POST" or not form.is_valid():
        title = f"Switch {row.name} off?" if off else f"Pause {row.name}?"
        context = model_admin.page_context(request, title, partner=row, form=form, off=off)
        return TemplateResponse(request, "admin/dataunion/stop_partner.html", context)
    reason, by = form.cleaned_data["reason"], name_of(request)
    was = row.state
    (roster.switch_off if off else roster.pause)(row, reason=reason, by=by)
    note(request, [row], f"{'Switched off' if off else 'Paused'}: {reason}", {"state": was}, {"state": row.state})
    messages.success(request, f"{row.name} is {row.state}. Nothing is sent there until it is resumed.")
    return HttpResponseRedirect(reverse("admin:dataunion_partner_change", args=[row.pk]))


def resume(model_admin: StaffAdmin, request: HttpRequest, pk: UUID) -> HttpResponse:
    """Send again."""
    if request.method != "POST":
        return refuse_method("POST")
    require_operator(request)
    row = _find(pk)
    was_off = row.state == PartnerState.OFF
    was = f"{row.state}: {row.state_reason}" if row.state_reason else row.state
    roster.resume(row, by=name_of(request))
    tick.nudge_partners({row.name})
    note(request, [row], f"Resumed (was {was})")
    messages.success(request, f"{row.name} is on. What waited for it is sent now, as its limits allow.")
    if was_off and backfill.count_lacking(row):
        return offer_backfill(request, row)
    return go_back(request, reverse(LIST))


def offer_backfill(request: HttpRequest, row: Partner) -> HttpResponse:
    """Ask whether a partner that was just switched on shall get the older records too."""
    messages.info(
        request, f"Records that came in before are not meant for {row.name} yet. You can add them now or later."
    )
    return HttpResponseRedirect(reverse("admin:dataunion_partner_backfill", args=[row.pk]))


def test_connection(model_admin: StaffAdmin, request: HttpRequest, pk: UUID) -> HttpResponse:
    """Try the partner by a real round trip; show step by step what worked."""
    if request.method != "POST":
        return refuse_method("POST")
    require_operator(request)
    row = _find(pk)
    worked, problem = roster.try_connection(row)
    note(request, [row], "Tested the connection: " + (problem or "it works"))
    found = {"worked": worked, "problem": problem}
    context = model_admin.page_context(request, f"Connection to {row.name}", partner=row, **found)
    return TemplateResponse(request, "admin/dataunion/connection.html", context)


def _find(pk: UUID) -> Partner:
    return find_or_404(Partner.objects.all(), str(pk), "There is no such partner.")
