"""What leaves the admin as a file: streamed, and written into Django's log before its first byte."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone

from dataunion.admin.base import refuse_method
from dataunion.exports import Row, write_csv


class CsvDownload:
    """A list of the admin whose matching rows are sent as CSV, for what POSTs to its address `export/`."""

    csv_name: str

    def read_csv(self, found: Any) -> Iterable[Row]:
        """Return the rows that match, of a change list."""
        raise NotImplementedError

    def export_view(self: Any, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """Send all that match as CSV."""
        if request.method != "POST":
            return refuse_method("POST")
        self.require_view(request)
        found = self.get_changelist_instance(request)
        return send_csv(request, self.model, self.read_csv(found), what=self.csv_name, wanted=found.say_filter())


def send_csv(
    request: HttpRequest, model: type[Model], rows: Iterable[Row], *, what: str, wanted: str
) -> StreamingHttpResponse:
    """Return the rows of a list as CSV; `wanted` is its filter in words."""
    note_download(request, model, what, f"Downloaded as CSV: {wanted}")
    name = f"{what.lower().replace(' ', '-')}-{timezone.now():%Y%m%d-%H%M}.csv"
    return send_file(write_csv(rows), name=name, content_type="text/csv; charset=utf-8")


def send_file(parts: Iterable[str], *, name: str, content_type: str) -> StreamingHttpResponse:
    """Return a download that is made while it is read."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(parts, content_type=content_type, headers=headers)


def note_download(request: HttpRequest, model: type[Model], what: str, message: str) -> None:
    """Write into Django's log what this person takes out."""
    LogEntry.objects.create(
        user_id=request.user.pk,  # type: ignore[misc]
        content_type=ContentType.objects.get_for_model(model),
        object_repr=what[:200],
        action_flag=CHANGE,
        change_message=message,
    )
