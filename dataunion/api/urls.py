"""Every path under /api/, each with and without its last slash."""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from dataunion.api import partners, records, runs, schema, statistics
from dataunion.api.endpoint import UnknownPath

__all__ = ["schema", "urlpatterns"]  # importing the schema registers it

app_name = "api"
_VIEWS: dict[str, Any] = {
    "users/admin/sync-stats": statistics.SyncStats,
    "users/admin/retry-failed-syncs": statistics.RetryFailedSyncs,
    "v1/records": records.Records,
    "v1/records/<uuid:record_id>": records.OneRecord,
    "v1/records/<uuid:record_id>/attempts": records.Attempts,
    "v1/records/<uuid:record_id>/partners/<str:name>": records.RecordPartner,
    "v1/records/<uuid:record_id>/partners/<str:name>/retry": records.RetryOne,
    "v1/retry-runs": runs.Runs,
    "v1/retry-runs/<uuid:run_id>": runs.OneRun,
    "v1/retry-runs/<uuid:run_id>/cancel": runs.CancelRun,
    "v1/partners": partners.Partners,
    "v1/partners/<str:name>/pause": partners.PausePartner,
    "v1/partners/<str:name>/resume": partners.ResumePartner,
    "v1/stats": statistics.Stats,
}
urlpatterns: list[URLPattern] = [
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerView.as_view(url_name="api:schema"), name="docs"),
    *(path(f"{route}{slash}", view.as_view()) for route, view in _VIEWS.items() for slash in ("", "/")),
    re_path("", UnknownPath.as_view()),
]
