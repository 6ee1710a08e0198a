"""What every page of ours has: who may do what, a line in Django's log for what was done, where to go next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from django.contrib.admin import ShowFacets
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from unfold.admin import ModelAdmin

from dataunion.access import OPERATE
from dataunion.admin.changes import say_changes, say_form, show_done
from dataunion.admin.paging import CursorChangeList
from dataunion.admin.words import show_when
from dataunion.search import as_uuid

_ONE_SAVE = {"show_save_and_add_another": False, "show_save_and_continue": False}  # context of a form with one button
Row = TypeVar("Row", bound=Model)


def find_or_404(rows: QuerySet[Row], object_id: str, words: str) -> Row:
    """Return the row of this id. Raises Http404 with these words."""
    pk = as_uuid(object_id)
    row = rows.filter(pk=pk).first() if pk else None
    if row is None:
        raise Http404(words)
    return row


def may_operate(request: HttpRequest) -> bool:
    """Say whether this person may retry, pause and resume."""
    return bool(request.user.has_perm(OPERATE))


def require_operator(request: HttpRequest) -> None:
    """Raise PermissionDenied for anyone who may only look."""
    if not may_operate(request):
        raise PermissionDenied


def name_of(request: HttpRequest) -> str:
    """Return the name under which this person's acts are recorded."""
    return request.user.get_username()


def note(
    request: HttpRequest,
    rows: Iterable[Model],
    message: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    flag: int = CHANGE,
) -> None:
    """Write one line for each row into Django's log: what was done by whom, and what that changed."""
    changes = say_changes(before or {}, after or {})
    message = f"{message} ({changes})" if changes else message
    LogEntry.objects.log_actions(request.user.pk, list(rows), flag, message)  # type: ignore[arg-type]


def go_back(request: HttpRequest, fallback: str) -> HttpResponse:
    """Redirect to the page that the form names in `next`, if it is one of ours."""
    wanted = request.POST.get("next", "")
    ours = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return HttpResponseRedirect(wanted if ours else fallback)


def refuse_method(*allowed: str) -> HttpResponse:
    """Return 405."""
    return HttpResponseNotAllowed(allowed)


class StaffAdmin(ModelAdmin):  # type: ignore[misc]
    """The base of all our model admins."""

    secret_fields: Sequence[str] = ()  # beside passwords and addresses: the log says only that they changed
    empty_value_display = "—"

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show the form with one button."""
        context = {**_ONE_SAVE, **self.read_form_context(request, object_id), **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def read_form_context(self, request: HttpRequest, object_id: str | None) -> dict[str, Any]:
        """Return what the page shows beside the form, its title among it; `object_id` is None for a new row."""
        return {}

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Show what staff did to a row, as the staff log does."""
        response: HttpResponse = super().history_view(request, object_id, extra_context)
        now = timezone.now()
        for entry in getattr(response, "context_data", {}).get("action_list", ()):
            entry.when, entry.done = show_when(entry.action_time, now), show_done(entry)
        return response

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> str:
        """Return what the log says of a form that was saved."""
        changes = say_form(form, new=add, secret=self.secret_fields)
        return f"{'Added' if add else 'Changed'}: {changes or 'nothing'}"

    def say_before_deletion(self, row: Any) -> str:
        """Return what the log keeps of a row that is deleted, beside its name."""
        return ""

    def log_deletions(self, request: HttpRequest, queryset: Iterable[Model]) -> None:
        """Write one line for each row that is about to be deleted."""
        for row in queryset:
            note(request, [row], ": ".join(filter(None, ("Deleted", self.say_before_deletion(row)))), flag=DELETION)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Let actions ask for the permission by name."""
        return may_operate(request)

    def require_view(self, request: HttpRequest) -> None:
        """Raise PermissionDenied for anyone who may not look at these rows."""
        if not self.has_view_permission(request):
            raise PermissionDenied

    def page_context(self, request: HttpRequest, title: str, **context: Any) -> dict[str, Any]:
        """Return what a page of our own needs to look like the others."""
        request.current_app = self.admin_site.name
        return {
            **self.admin_site.each_context(request),
            "model_admin": self,
            "title": title,
            "may_operate": may_operate(request),
            **context,
        }


class ReadOnlyAdmin(StaffAdmin):
    """Rows that the system writes: people look at them, newest first, page by page without a count."""

    newest_by = ""  # a column; the key itself is ordered by time
    list_per_page = 50
    list_disable_select_all = True
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # each would be a count
    sortable_by: Sequence[str] = ()
    actions: Any = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CursorChangeList]:
        """Return the list that never counts."""
        return CursorChangeList

    def prepare_page(self, request: HttpRequest, rows: Sequence[Any]) -> None:
        """Fetch at once what the rows of a page need."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return no."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return no."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return no."""
        return False
