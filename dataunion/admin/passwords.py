"""Passwords: a new one by a link that is mailed, where e-mail can be sent; one's own, written into Django's log."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import forms, views
from django.core.mail import send_mail
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import path, reverse, reverse_lazy
from django.utils import timezone
from unfold.forms import AuthenticationForm
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminPasswordWidget

from dataunion import quota, signin
from dataunion.admin.base import note
from dataunion.models import User

log = logging.getLogger(__name__)
_ASKS_AT_MOST, _ASKS_WITHIN_S = 20, 3600  # links for which one client may ask, for whomever
_FORM, _TOLD = "admin/dataunion/reset_form.html", "admin/dataunion/reset_told.html"


class SignInForm(AuthenticationForm):  # type: ignore[misc]
    """The form of the sign-in page."""

    @property
    def reset_url(self) -> str:
        """Return where a forgotten password is replaced; "" where no e-mail can be sent."""
        return reverse("password_reset") if settings.CAN_SEND_EMAIL else ""


admin.site.login_form = SignInForm  # not by UNFOLD["LOGIN"], which is read before there is a site to register at


class ResetForm(forms.PasswordResetForm):
    """Asks for the address."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = "Your e-mail address"
        self.fields["email"].widget = UnfoldAdminEmailInputWidget(attrs={"autocomplete": "email", "maxlength": 254})

    def get_users(self, email: str) -> list[User]:
        """Return the staff of this address, also those who never had a password and sign in by a link.

        Whoever was mailed too many links lately is left out, and nobody learns that.
        """
        found, now = User.objects.filter(email__iexact=email, is_active=True, is_staff=True), timezone.now()
        return [user for user in found if signin.admit_reset(user, now)]

    def send_mail(
        self, subject_template_name: str, email_template_name: str, context: dict[str, Any], *_: Any, **__: Any
    ) -> None:
        """Send the link. What fails is logged without the address, which the error itself may hold."""
        subject = render_to_string(subject_template_name, context).strip()
        body = render_to_string(email_template_name, context)
        try:
            send_mail(subject, body, None, [context["email"]])
        except OSError as error:  # smtplib's errors are OSErrors
            fields = {"user": str(context["user"].pk), "type": type(error).__name__}
            log.warning("password.mail.lost", extra=fields)


class NewPasswordForm(forms.SetPasswordForm):  # type: ignore[type-arg]
    """Asks for the new password, twice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("new_password1", "new_password2"):
            self.fields[name].widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})


class _Page:
    """What every page here needs to look like the sign-in page."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        site = admin.site.each_context(self.request)  # type: ignore[attr-defined]
        return {**site, **super().get_context_data(**kwargs)}  # type: ignore[misc]


def _client(request: HttpRequest) -> str:
    """Return the address from which a request came, as the proxy tells that ends TLS before us."""
    told = request.headers.get("X-Forwarded-For", "") if settings.SECURE_PROXY_SSL_HEADER else ""
    return told.rpartition(",")[2].strip() or request.META["REMOTE_ADDR"]


class AskView(_Page, views.PasswordResetView):
    """Asks for the address, and sends the link."""

    form_class = ResetForm
    template_name = _FORM
    subject_template_name = "admin/dataunion/reset_subject.txt"
    email_template_name = "admin/dataunion/reset_mail.txt"
    success_url = reverse_lazy("password_reset_done")
    token_generator = signin.reset_tokens
    title = "Forgotten your password?"
    extra_context = {"words": "We send you a link with which you choose a new one.", "button": "Send the link"}

    def form_valid(self, form: Any) -> HttpResponse:
        """Send the link; a client that asks too often gets the same answer and sends nothing."""
        client = hashlib.sha256(_client(self.request).encode()).hexdigest()
        if quota.admits(f"reset-{client}", at_most=_ASKS_AT_MOST, window_s=_ASKS_WITHIN_S, now_s=time.time()):
            return super().form_valid(form)
        return HttpResponseRedirect(str(self.success_url))

    @property
    def extra_email_context(self) -> dict[str, Any]:  # type: ignore[override]
        """Return the address of this installation: what a browser says of it may be made up."""
        return {"base_url": settings.BASE_URL, "hours": signin.VALID_HOURS}


class SentView(_Page, views.PasswordResetDoneView):
    """Says the same whether or not the address is known."""

    template_name = _TOLD
    title = "Look into your mailbox"
    extra_context = {
        "words": "If the address is that of somebody who works here, a link is on its way. "
        "If nothing comes within some minutes, look among the spam, or ask an administrator for a new password."
    }


class ChooseView(_Page, views.PasswordResetConfirmView):
    """Takes the new password, once."""

    form_class = NewPasswordForm
    success_url = reverse_lazy("password_reset_complete")
    token_generator = signin.reset_tokens
    title = "Choose a new password"
    extra_context = {"button": "Save the password"}

    def get_template_names(self) -> list[str]:
        """Return the form, or the page that says why there is none."""
        return [_FORM if self.validlink else _TOLD]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add what to do about a link that is not good."""
        context = super().get_context_data(**kwargs)
        if self.validlink:
            return context
        words = (
            f"It was used already, or is older than {signin.VALID_HOURS} hours, or is not complete. Ask for a new one."
        )
        return {**context, "title": "This link does not work", "words": words, "again_url": reverse("password_reset")}

    def form_valid(self, form: Any) -> HttpResponse:
        """Save it, and write that down."""
        response = super().form_valid(form)
        LogEntry.objects.log_actions(form.user.pk, [form.user], CHANGE, "Changed: password, by a link sent by e-mail")
        return response


class ChosenView(_Page, views.PasswordResetCompleteView):
    """Leads to the sign-in page."""

    template_name = _TOLD
    title = "Your new password is saved"
    extra_context = {"words": "Sign in with it now."}


def change_own(request: HttpRequest) -> HttpResponse:
    """Let a person change their own password as Django does, and write that down."""
    response: HttpResponse = admin.site.admin_view(admin.site.password_change, cacheable=True)(request)
    if response.headers.get("Location") == reverse("admin:password_change_done"):
        note(request, [request.user], "Changed: own password")  # type: ignore[list-item]
    return response


def _where_mail_is_sent(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not settings.CAN_SEND_EMAIL:
            raise Http404("Nothing can be mailed here. Ask an administrator for a new password.")
        return view(request, *args, **kwargs)

    return guarded


urlpatterns = [
    path("password_change/", change_own, name="password_change"),
    path("password_reset/", _where_mail_is_sent(AskView.as_view()), name="password_reset"),
    path("password_reset/done/", _where_mail_is_sent(SentView.as_view()), name="password_reset_done"),
    path("password_reset/complete/", _where_mail_is_sent(ChosenView.as_view()), name="password_reset_complete"),
    path(
        "password_reset/<str:uidb64>/<str:token>/",
        _where_mail_is_sent(ChooseView.as_view()),
        name="password_reset_confirm",
    ),
]
