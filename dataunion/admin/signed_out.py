"""What a page shows that asks for itself again, when its reader was signed out meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

_HEADERS = {"HX-Reselect": "#signed-out", "HX-Reswap": "afterbegin", "Cache-Control": "no-store"}
_STOP_ASKING = 286  # htmx's own: shown like any answer, and the last one


def tell_signed_out(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Return the middleware that puts a link to the sign-in page above what is shown, where htmx is led there.

    What was shown stays: without this it would be replaced by what the sign-in page has of it, which is nothing.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        sign_in = reverse("admin:login")
        if not request.headers.get("HX-Request") or urlsplit(response.headers.get("Location", "")).path != sign_in:
            return response
        url = f"{sign_in}?{urlencode({'next': _find_page(request)})}"
        told = render_to_string("admin/dataunion/signed_out.html", {"url": url}, request)
        return HttpResponse(told, status=_STOP_ASKING, headers=_HEADERS)

    return middleware


def _find_page(request: HttpRequest) -> str:
    """Return the page that asked, as htmx tells; the first page where that is none of ours."""
    page = request.headers.get("HX-Current-URL", "")
    if not url_has_allowed_host_and_scheme(page, {request.get_host()}, require_https=request.is_secure()):
        return reverse("admin:index")
    return urlsplit(page)._replace(scheme="", netloc="", fragment="").geturl()
