"""Where what is answered."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from dataunion.admin import passwords
from dataunion.admin.signin import sign_in
from dataunion.api import health

admin.autodiscover()
urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/sign-in/<str:uid>/<str:token>/", sign_in, name="sign_in"),
    path("admin/", include(passwords.urlpatterns)),
    path("admin/", admin.site.urls),
    path("api/", include("dataunion.api.urls")),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
]
handler400 = "dataunion.api.errors.bad_request"
handler404 = "dataunion.api.errors.not_found"
handler500 = "dataunion.api.errors.server_error"
