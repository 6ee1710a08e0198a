"""Groups of the staff: what each may see and do here, in words; what else a group holds stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.models import Group, Permission
from django.http import HttpRequest, HttpResponse
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextInputWidget

from dataunion import access
from dataunion.admin.base import StaffAdmin
from dataunion.models import User

Rights = Mapping[str, tuple[str, ...]]  # in words -> the permissions behind them
_SEES: Rights = {
    "records and the page of one person": ("dataunion.view_dataunion",),
    "open work and the overview": ("dataunion.view_syncjob",),
    "retry runs and retry policies": ("dataunion.view_retryrun", "dataunion.view_retrypolicy"),
    "attempts": ("dataunion.view_syncattempt",),
    "partners": ("dataunion.view_partner",),
    "backfills": ("dataunion.view_backfill",),
    "alerts": ("dataunion.view_incident",),
    "users": ("dataunion.view_user",),
    "groups": ("auth.view_group",),
    "API keys": ("dataunion.view_apikey",),
    "the staff log": ("admin.view_logentry",),
}
_DOES: Rights = {
    "retry, pause and test connections": (access.OPERATE,),
    "export all that is stored about one person": (access.EXPORT_PERSON,),
    "add partners": ("dataunion.add_partner",),
    "change limits and options of partners": ("dataunion.change_partner",),
    "add users": ("dataunion.add_user",),
    "change users and their groups": ("dataunion.change_user",),
    "add groups": ("auth.add_group",),
    "change what groups may do": ("auth.change_group",),
    "delete groups": ("auth.delete_group",),
    "make API keys": ("dataunion.add_apikey",),
    "revoke API keys": ("dataunion.change_apikey",),
}
RIGHTS: Rights = {**_SEES, **_DOES}
_OURS = (access.VIEWER, access.OPERATOR, access.ADMIN)
_OPERATE_HELP = "Who may retry also sets retry policies, resumes, switches off, adds older records and tests alerts."
_COMES_BACK = "With every update this group gets back what it came with: for less, make a group of your own."

admin.site.unregister(Group)


def _find_permissions(rights: Iterable[str]) -> list[Permission]:
    names = {name for right in rights for name in RIGHTS[right]}
    codenames = [name.partition(".")[2] for name in names]
    found = Permission.objects.filter(codename__in=codenames).select_related("content_type")
    return [row for row in found if f"{row.content_type.app_label}.{row.codename}" in names]


def read_rights(group: Group) -> list[str]:
    """Return what a group may, in words."""
    held = {
        f"{app}.{codename}" for app, codename in group.permissions.values_list("content_type__app_label", "codename")
    }
    return [words for words, names in RIGHTS.items() if held.issuperset(names)]


def _boxes(label: str, rights: Rights, help_text: str = "") -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=label,
        help_text=help_text,
        choices=[(words, words) for words in rights],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )


class GroupForm(forms.ModelForm):  # type: ignore[type-arg]
    """A group's name, and a box for each thing that its people may see or do."""

    sees = _boxes("May look at", _SEES)
    does = _boxes("May", _DOES, _OPERATE_HELP)

    class Meta:
        model = Group
        fields = ("name",)
        widgets = {"name": UnfoldAdminTextInputWidget}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        held = read_rights(self.instance) if self.instance.pk else []
        self.initial["sees"] = [words for words in held if words in _SEES]
        self.initial["does"] = [words for words in held if words in _DOES]
        if "name" in self.fields and self.instance.name in _OURS:
            self.fields["name"].help_text = _COMES_BACK

    def store_rights(self) -> None:
        """Give the group what was ticked, and take away what no longer is; what has no box stays."""
        before = {*self.initial["sees"], *self.initial["does"]}
        after = {*self.cleaned_data["sees"], *self.cleaned_data["does"]}
        self.instance.permissions.remove(*_find_permissions(before - after))
        self.instance.permissions.add(*_find_permissions(after - before))


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, StaffAdmin):  # type: ignore[misc]
    """The list and the form. The three that the migration made get what they lack after every migration."""

    form = GroupForm
    filter_horizontal = ()
    list_fullwidth = True
    search_help_text = "Name of a group"

    def get_fields(self, request: HttpRequest, obj: Group | None = None) -> Any:
        """Show boxes to who may tick them, else the same as a text."""
        may_change = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return ("name", "sees", "does") if may_change else ("name", "may")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list."""
        response: HttpResponse = super().changelist_view(request, {"title": "Groups", **(extra_context or {})})
        return response

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Store what the group may."""
        super().save_related(request, form, formsets, change)
        form.store_rights()

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, ...]:
        """Name the groups alone, and in the count their people: which rows bind these is nobody's question."""
        deleted, _, needed, protected = super().get_deleted_objects(objs, request)
        groups = [row for row in deleted if isinstance(row, str)]
        people = User.objects.filter(groups__in=objs).distinct().count()
        return groups, {"groups": len(groups), "people who lose what it allows": people}, needed, protected

    def say_before_deletion(self, row: Group) -> str:
        """Return who was in it and what it held."""
        people = ", ".join(row.user_set.order_by("username").values_list("username", flat=True))
        codenames = ", ".join(row.permissions.order_by("codename").values_list("codename", flat=True))
        return f"people: {people or 'none'}; permissions: {codenames or 'none'}"

    @admin.display(description="may")
    def may(self, group: Group) -> str:
        """Show what the group may, in words."""
        return "; ".join(read_rights(group)) or "nothing"
