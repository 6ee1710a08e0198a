"""Partners: their health, their switches and limits; and new HTTP partners, without code."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html

from dataunion import backfill, roster
from dataunion.admin import backfills, partner_acts, partner_trial, signer_panel
from dataunion.admin.badges import breaker_badge, state_badge
from dataunion.admin.base import StaffAdmin, find_or_404, may_operate, name_of
from dataunion.admin.filters import ANY_ERROR, ON_THE_WAY
from dataunion.admin.partner_forms import (
    HTTP_ADAPTER,
    LIMITS,
    LimitsForm,
    NewPartnerForm,
    option_names,
    read_kept,
    with_options,
)
from dataunion.admin.partner_page import read_partner_page
from dataunion.admin.words import WIDE, cut, show_when
from dataunion.models import Partner
from dataunion.state import PartnerState
from dataunion.stats import Queue, read_queues
from partners import registry
from partners.requirements import Option

_TRIAL = "dataunion_partner_test_delivery"
_ELSEWHERE: dict[str, Callable[..., HttpResponse]] = {"backfill": backfills.ask, "signer": signer_panel.signer}


def options_kept_here(row: Partner | None) -> tuple[Option, ...]:
    """Return the options that staff may change: those of HTTP partners that are not in the settings."""
    if row is None:
        return registry.load(HTTP_ADAPTER).options
    if row.adapter == HTTP_ADAPTER and row.name not in settings.PARTNERS:
        return roster.adapter_class(row).options
    return ()


@admin.register(Partner)
class PartnerAdmin(StaffAdmin):
    """The list, the page of one partner, and the form for a new one."""

    list_display = ("name", "state_shown", "breaker_shown", "waiting", "failed", "oldest_due", "buttons")
    list_display_links = ("name",)
    list_fullwidth = True
    list_before_template = "admin/dataunion/row_form.html"
    change_form_outer_before_template = "admin/dataunion/partner_head.html"
    change_form_after_template = "admin/dataunion/partner_trial.html"
    change_form_outer_after_template = "admin/dataunion/partner_config.html"
    sortable_by = ()
    actions = ()
    ordering = ("name",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return no: records name their partners; one that is no longer wanted is switched off."""
        return False

    def get_urls(self) -> list[URLPattern]:
        """Add the switches."""
        wrap = self.admin_site.admin_view

        def act(name: str) -> URLPattern:
            view = partial(_ELSEWHERE.get(name) or getattr(partner_acts, name), self)
            route = f"<uuid:pk>/{name.replace('_', '-')}/"
            url: URLPattern = path(route, wrap(view), name=f"dataunion_partner_{name}")
            return url

        trial = path("test-delivery/", wrap(partial(partner_trial.test_delivery, self)), name=_TRIAL)
        return [trial, *map(act, partner_acts.ACTS), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list; rows that the settings name are made where they are missing."""
        roster.find_partners()
        response: HttpResponse = super().changelist_view(request, {"title": "Partners", **(extra_context or {})})
        change_list = getattr(response, "context_data", {}).get("cl")
        if change_list is not None:
            queues, operable = read_queues(timezone.now()), may_operate(request)
            for row in change_list.result_list:
                row.queue, row.operable = queues.get(row.name, Queue()), operable
        return response

    def read_form_context(self, request: HttpRequest, object_id: str | None) -> dict[str, Any]:
        """Return what one partner's page shows, or that of a new one."""
        row = find_or_404(Partner.objects.all(), object_id, "There is no such partner.") if object_id else None
        title = row.name if row else "Add an HTTP partner"
        page = read_partner_page(row, timezone.now()) if row else {}
        return {"title": title, "subtitle": None, "may_operate": may_operate(request), **page}

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Return the form, with the options that are kept here."""
        kept = read_kept(obj) if obj else {}
        base = LimitsForm if obj else NewPartnerForm
        fields = ["name", *LIMITS] if obj is None else list(LIMITS)
        form = with_options(base, options_kept_here(obj), kept) if self._may_write(request, obj) else base
        return super().get_form(request, obj, change, **{**kwargs, "form": form, "fields": fields})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the groups of fields."""
        names = option_names(options_kept_here(obj)) if self._may_write(request, obj) else []
        groups: list[Any] = [(None, {"fields": ["name", "data_types"]})] if obj is None else []
        if names:
            groups.append(("Connection", {"fields": names}))
        limits = LIMITS[1:] if obj is None else LIMITS
        return [*groups, ("Limits", {"fields": list(limits)})]

    def _may_write(self, request: HttpRequest, obj: Any) -> bool:
        return bool(self.has_change_permission(request, obj) if obj else self.has_add_permission(request))

    def save_model(self, request: HttpRequest, obj: Partner, form: Any, change: bool) -> None:
        """Store what the form holds and nothing else: workers write to the row's other columns all the time."""
        if change:
            obj.save(update_fields=list(LIMITS))
            if form.adapter_options:
                roster.configure(obj, config=form.config(), secrets=form.secrets())
            return
        # Off until its configuration is there, or a worker would find it without.
        obj.adapter, obj.state = HTTP_ADAPTER, PartnerState.OFF
        obj.save(force_insert=True)
        roster.configure(obj, config=form.config(), secrets=form.secrets())
        roster.resume(obj, by=name_of(request))

    def response_add(self, request: HttpRequest, obj: Partner, post_url_continue: Any = None) -> HttpResponse:
        """Go on to the older records where there are some, else to the new partner's page."""
        messages.success(request, f"{obj.name} is on: records that come in from now on are sent there.")
        if may_operate(request) and backfill.count_lacking(obj):
            return partner_acts.offer_backfill(request, obj)
        return HttpResponseRedirect(reverse("admin:dataunion_partner_change", args=[obj.pk]))

    @admin.display(description="switch")
    def state_shown(self, row: Any) -> str:
        """Show on, paused or off, and why."""
        why = '{}<span class="block mt-1 text-subtle whitespace-normal" style="{}">{}</span>'
        return format_html(why, state_badge(row), WIDE, cut(row.state_reason)) if row.state_reason else state_badge(row)

    @admin.display(description="answers")
    def breaker_shown(self, row: Any) -> str:
        """Show the circuit breaker."""
        return breaker_badge(row, timezone.now())

    @admin.display(description="waiting")
    def waiting(self, row: Any) -> str:
        """Show how many are on their way."""
        return _link(row, ON_THE_WAY, row.queue.waiting)

    @admin.display(description="failed")
    def failed(self, row: Any) -> str:
        """Show how many failed."""
        return _link(row, ANY_ERROR, row.queue.failed)

    @admin.display(description="oldest due")
    def oldest_due(self, row: Any) -> str:
        """Show since when the oldest due job waits."""
        return show_when(row.queue.oldest_due, timezone.now())

    @admin.display(description="do")
    def buttons(self, row: Any) -> str:
        """Show what can be done."""
        return partner_acts.buttons(row) if row.operable else ""


def _link(row: Partner, status: str, count: int) -> str:
    """Return a count as a link to the open work that it counts."""
    query = urlencode({"partner": row.name, "status": status})
    url = f"{reverse('admin:dataunion_syncjob_changelist')}?{query}"
    return format_html('<a href="{}" class="text-link">{}</a>', url, f"{count:,}")
