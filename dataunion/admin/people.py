"""Who may sign in: staff and other services' keys; what they did."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import capfirst
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextInputWidget,
)

from dataunion import access
from dataunion.admin.badges import badge
from dataunion.admin.base import ReadOnlyAdmin, StaffAdmin, go_back, note, refuse_method
from dataunion.admin.changes import show_done
from dataunion.admin.retrying import row_button
from dataunion.admin.words import show_when
from dataunion.models import ApiKey, User

_GROUPS_HELP = (
    "viewer looks at everything about syncing; operator also retries, pauses, resumes and tests connections; "
    "admin also changes partners, people and keys."
)
_EXPLAINED = {
    "is_active": (
        "Works here",
        "Switch this off when somebody leaves: nobody is deleted, so that the log keeps its names.",
    ),
    "is_staff": ("May sign in here", "Whoever may sign in and is in no group sees an empty first page."),
    "groups": ("Groups", _GROUPS_HELP),
}


class NewPersonForm(UserCreationForm):  # type: ignore[misc]
    """A new person, with a password or without."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["usable_password"]
        field.label, field.help_text = (
            "Signs in",
            "For the second, e-mail must be set up: the sign-in page sends the link.",
        )
        choices = [("true", "with the password below"), ("false", "with one that they choose by a mailed link")]
        field.choices = field.widget.choices = choices


@admin.register(User)
class UserAdmin(DjangoUserAdmin, StaffAdmin):  # type: ignore[misc, type-arg]
    """Staff. What a person may do comes from groups alone, so that a group's page tells all of it."""

    form = UserChangeForm
    add_form = NewPersonForm
    change_password_form = AdminPasswordChangeForm
    fieldsets = (
        (None, {"fields": ("username", "password_state")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Access", {"fields": ("is_active", "is_staff", "groups")}),
        ("Dates", {"fields": ("signed_in", "joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "email", "groups", "usable_password", "password1", "password2")}),)
    filter_horizontal = ()
    list_display = ("username", "email", "may", "is_active", "signed_in")
    list_filter = ("is_active", "groups")
    search_help_text = "Username, name or e-mail address"
    list_fullwidth = True
    readonly_fields = ("password_state", "signed_in", "joined")
    actions = ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return no: the log names its people. Whoever leaves is made inactive."""
        return False

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """Say what a field means here; offer the groups as boxes to tick, without the buttons that change groups."""
        if db_field.name == "groups":
            kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and db_field.name in _EXPLAINED:
            field.label, field.help_text = _EXPLAINED[db_field.name]
            field.widget = getattr(field.widget, "widget", field.widget)
        return field

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list, with the groups of all its people in one query."""
        response: HttpResponse = super().changelist_view(request, {"title": "Users", **(extra_context or {})})
        change_list = getattr(response, "context_data", {}).get("cl")
        rows = {row.pk: row for row in change_list.result_list} if change_list is not None else {}
        for row in rows.values():
            row.found_groups = ["everything"] if row.is_superuser else []
        members = User.groups.through.objects.filter(user_id__in=list(rows))
        for pk, name in members.values_list("user_id", "group__name"):
            rows[pk].found_groups.append(name)
        return response

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Let whoever is added here sign in here."""
        obj.is_staff = obj.is_staff or not change
        super().save_model(request, obj, form, change)

    @admin.display(description="groups")
    def may(self, row: Any) -> str:
        """Show the groups."""
        return ", ".join(sorted(row.found_groups)) or "none: sees nothing"

    @admin.display(description="password")
    def password_state(self, row: User) -> str:
        """Show whether there is one, and where it is changed."""
        text, link = ("Set.", "Change it") if row.has_usable_password() else ("None.", "Set one")
        return format_html('{} <a href="../password/" class="text-link">{}</a>', text, link)

    @admin.display(description="last signed in", ordering="last_login")
    def signed_in(self, row: User) -> str:
        """Show when this person signed in last."""
        return show_when(row.last_login, timezone.now())

    @admin.display(description="added")
    def joined(self, row: User) -> str:
        """Show since when this person is here."""
        return show_when(row.date_joined, timezone.now())


class KeyForm(forms.ModelForm):  # type: ignore[type-arg]
    """A new key."""

    scopes = forms.MultipleChoiceField(
        choices=[
            (access.Scope.INGEST, "ingest: hand in records, report syncs"),
            (access.Scope.READ, "read: records, attempts, statistics"),
            (access.Scope.ADMIN, "admin: everything, retries too"),
        ],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    days = forms.IntegerField(
        min_value=1,
        max_value=3650,
        required=False,
        label="Ends after, days",
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Leave it empty for a key that never ends.",
    )

    class Meta:
        model = ApiKey
        fields = ("name",)
        widgets = {"name": UnfoldAdminTextInputWidget}


@admin.register(ApiKey)
class KeyAdmin(StaffAdmin):
    """Keys: made here and shown once, revoked here, never changed."""

    form = KeyForm
    list_display = ("name", "prefix", "may", "state", "made", "used", "revoke")
    list_display_links = None
    list_before_template = "admin/dataunion/row_form.html"
    list_fullwidth = True
    empty_words = "Make a key for each service that hands in records or reads statistics."
    fields = ("name", "scopes", "days")
    ordering = ("-created_at",)
    sortable_by = ()
    actions = ()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return no: a key is revoked, never changed."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return no: revoked keys stay, so that one sees what there was."""
        return False

    def may_revoke(self, request: HttpRequest) -> bool:
        """Say whether this person may revoke keys."""
        return bool(request.user.has_perm("dataunion.change_apikey"))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show the stored columns of a key, the form of a new one."""
        return ("name", "prefix", "may", "state", "made", "ends", "used") if obj else self.fields

    def get_urls(self) -> list[URLPattern]:
        """Add revoking."""
        view = self.admin_site.admin_view(self.revoke_view)
        return [path("<uuid:pk>/revoke/", view, name="dataunion_apikey_revoke"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list."""
        response: HttpResponse = super().changelist_view(request, {"title": "API keys", **(extra_context or {})})
        change_list = getattr(response, "context_data", {}).get("cl")
        for row in change_list.result_list if change_list is not None else ():
            row.revocable = self.may_revoke(request)
        return response

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Show the form with a title of ours."""
        context = {"title": "Make an API key", **(extra_context or {})}
        response: HttpResponse = super().add_view(request, form_url, context)
        return response

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Make the key."""
        made = form.cleaned_data
        row, key = access.make_key(name=made["name"], scopes=made["scopes"], days=made["days"])
        obj.__dict__.update(row.__dict__)
        obj.shown_once = key  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """Show the key itself, in this answer only: it is kept nowhere."""
        context = self.page_context(request, "Copy the key now", name=obj.name, key=obj.shown_once)
        return TemplateResponse(request, "admin/dataunion/key.html", context)

    def revoke_view(self, request: HttpRequest, pk: Any) -> HttpResponse:
        """End a key now."""
        if request.method != "POST":
            return refuse_method("POST")
        if not self.may_revoke(request):
            raise PermissionDenied
        if ApiKey.objects.filter(pk=pk, revoked_at=None).update(revoked_at=timezone.now()):
            row = ApiKey.objects.get(pk=pk)
            note(request, [row], "Revoked", {"opens": row.scopes}, {"opens": "nothing"})
            self.message_user(request, "The key opens nothing any more.")
        return go_back(request, reverse("admin:dataunion_apikey_changelist"))

    @admin.display(description="may")
    def may(self, row: ApiKey) -> str:
        """Show the scopes."""
        return ", ".join(row.scopes)

    @admin.display(description="state")
    def state(self, row: ApiKey) -> str:
        """Show whether it opens anything."""
        now = timezone.now()
        if row.revoked_at is not None:
            return badge("off", "revoked")
        if row.expires_at is None:
            return badge("on", "good")
        if row.expires_at <= now:
            return badge("off", "expired")
        soon = row.expires_at - now < timedelta(days=14)
        return badge("paused" if soon else "on", "ends soon" if soon else "good", title=row.expires_at.isoformat())

    @admin.display(description="made")
    def made(self, row: ApiKey) -> str:
        """Show when it was made."""
        return show_when(row.created_at, timezone.now())

    @admin.display(description="ends")
    def ends(self, row: ApiKey) -> str:
        """Show when it ends by itself."""
        return show_when(row.expires_at, timezone.now()) if row.expires_at else "never"

    @admin.display(description="last used")
    def used(self, row: ApiKey) -> str:
        """Show when it was last used."""
        return show_when(row.last_used_at, timezone.now())

    @admin.display(description="revoke")
    def revoke(self, row: Any) -> str:
        """Show the button."""
        if row.revoked_at is not None or not row.revocable:
            return ""
        return row_button(reverse("admin:dataunion_apikey_revoke", args=[row.pk]), "Revoke", danger=True)


@admin.register(LogEntry)
class LogAdmin(ReadOnlyAdmin):
    """Who did what: every act of the staff."""

    empty_words = "Nobody has changed anything yet."
    list_display = ("when", "user", "kind", "which", "done")
    list_display_links = None
    list_select_related = ("user", "content_type")
    list_fullwidth = True
    fields = list_display

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list."""
        response: HttpResponse = super().changelist_view(request, {"title": "Staff log", **(extra_context or {})})
        return response

    @admin.display(description="what")
    def kind(self, entry: LogEntry) -> str:
        """Show what kind of thing it was done to."""
        return capfirst(entry.content_type.name) if entry.content_type else "—"

    @admin.display(description="which")
    def which(self, entry: LogEntry) -> str:
        """Show to which one it was done."""
        return entry.object_repr

    @admin.display(description="when")
    def when(self, entry: LogEntry) -> str:
        """Show when it was done."""
        return show_when(entry.action_time, timezone.now())

    @admin.display(description="what was done")
    def done(self, entry: LogEntry) -> str:
        """Show what was done."""
        return show_done(entry)
