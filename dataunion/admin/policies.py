"""Retry policies: which failed work is retried each day by itself, and at what hour."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminSelectWidget

from dataunion import policies, retries, roster
from dataunion.admin.badges import badge
from dataunion.admin.base import StaffAdmin, may_operate, name_of
from dataunion.admin.words import show_when
from dataunion.clock import db_now
from dataunion.models import RetryPolicy
from dataunion.state import PartnerState
from dataunion.wording import say_class, say_count

_FIELDS = ("partner", "error_classes", "hour", "is_on")


class PolicyForm(forms.ModelForm):  # type: ignore[type-arg]
    """Where, which errors, when; off until somebody switches it on."""

    partner = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget())
    error_classes = forms.MultipleChoiceField(
        label="Errors", widget=UnfoldAdminCheckboxSelectMultipleWidget(), help_text="Only what has failed is retried."
    )
    hour = forms.TypedChoiceField(
        label="Hour (UTC)",
        coerce=int,
        choices=[(hour, f"{hour:02}:00 UTC") for hour in range(24)],
        widget=UnfoldAdminSelectWidget(),
        help_text="Each day at this hour an ordinary retry run is started.",
    )

    class Meta:
        model = RetryPolicy
        fields = _FIELDS
        labels = {"is_on": "Switched on"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.fields:  # shown to someone who may only look
            return
        names = [row.name for row in roster.find_partners()]
        self.fields["partner"].choices = [("", "every partner"), *((name, name) for name in names)]  # type: ignore[attr-defined]
        self.fields["error_classes"].choices = [  # type: ignore[attr-defined]
            (name, say_class(name)) for name in policies.find_classes(self.instance)
        ]


@admin.register(RetryPolicy)
class PolicyAdmin(StaffAdmin):
    """The list of policies, and the form of one. Whoever sees retry runs sees them; operators change them."""

    form = PolicyForm
    fields = (*_FIELDS, "reach", "next_run")
    readonly_fields = ("reach", "next_run")
    list_display = ("what", "switch", "next_run", "changed_by")
    list_display_links = ("what",)
    empty_words = "No failed work is retried by itself. Add a policy to retry some errors once a day."
    sortable_by = ()
    actions = ()
    ordering = ("hour", "pk")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask what is asked for retry runs."""
        return may_operate(request) or bool(request.user.has_perm("dataunion.view_retryrun"))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Ask the same."""
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Let operators."""
        return may_operate(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let operators."""
        return may_operate(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let operators."""
        return may_operate(request)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list."""
        context = {"title": "Retry policies", **(extra_context or {})}
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def read_form_context(self, request: HttpRequest, object_id: str | None) -> dict[str, Any]:
        """Return a title of ours."""
        return {"title": "Retry policy" if object_id else "Add a retry policy", "subtitle": None}

    def save_model(self, request: HttpRequest, obj: RetryPolicy, form: Any, change: bool) -> None:
        """Store the policy with its next hour."""
        policies.store(obj, by=name_of(request), now=db_now())

    @admin.display(description="what")
    def what(self, policy: RetryPolicy) -> str:
        """Show the policy in words."""
        return str(policy)

    @admin.display(description="switch")
    def switch(self, policy: RetryPolicy) -> str:
        """Show on or off."""
        return badge(PartnerState.ON if policy.is_on else PartnerState.OFF)

    @admin.display(description="now it would retry")
    def reach(self, policy: RetryPolicy) -> str:
        """Show how many failures a run would reopen now."""
        if not policy.error_classes:
            return "Save it to see how many."
        return say_count(retries.count_matching(policies.wanted_by(policy))[1], "failed job")

    @admin.display(description="next run")
    def next_run(self, policy: RetryPolicy) -> str:
        """Show when it comes next."""
        return show_when(policy.next_at, timezone.now()) if policy.is_on else "never: switched off"
