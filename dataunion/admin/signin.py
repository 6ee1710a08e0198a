"""The page behind a one-time link. Opening it does nothing, so that a preview of the link does not use it up."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache

from dataunion import signin


@never_cache
def sign_in(request: HttpRequest, uid: str, token: str) -> HttpResponse:
    """Show a button (GET); sign the person in, once (POST)."""
    person = signin.find_person(uid, token)
    if person is not None and request.method == "POST" and signin.use_up(person):
        person.refresh_from_db()
        login(request, person, backend="django.contrib.auth.backends.ModelBackend")
        return HttpResponseRedirect(reverse("admin:index"))
    good = person is not None and request.method != "POST"
    context = {
        **admin.site.each_context(request),
        "title": "Sign in" if good else "This link is used up",
        "person": person if good else None,
        "hours": signin.VALID_HOURS,
    }
    return TemplateResponse(request, "admin/dataunion/sign_in.html", context, status=200 if good else 410)
