"""A test delivery to an HTTP partner that is not saved yet, with what the form holds at this moment."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from dataunion.admin.base import StaffAdmin, refuse_method
from dataunion.admin.partner_forms import HTTP_ADAPTER, LimitsForm, NewPartnerForm, with_options
from partners import registry
from partners.errors import PartnerError

_TEMPLATE = "admin/dataunion/trial.html"


def test_delivery(model_admin: StaffAdmin, request: HttpRequest) -> HttpResponse:
    """Send a signed message of type "ping"; show what came of it as a part of the page."""
    if request.method != "POST":
        return refuse_method("POST")
    if not model_admin.has_add_permission(request):
        raise PermissionDenied
    form = with_options(NewPartnerForm, registry.load(HTTP_ADAPTER).options, {})(request.POST)
    if not form.is_valid():
        return TemplateResponse(request, _TEMPLATE, {"problem": _say_errors(form), "worked": []})
    worked, problem = _try(form)
    return TemplateResponse(request, _TEMPLATE, {"worked": worked, "problem": problem})


def _try(form: LimitsForm) -> tuple[list[str], str]:
    config = {**form.config(), **form.secrets()}
    worked: list[str] = []
    try:
        adapter = registry.build(form.cleaned_data["name"], HTTP_ADAPTER, config)
    except PartnerError as error:
        return worked, error.message
    try:
        for sentence in adapter.probe():
            worked.append(sentence)
    except PartnerError as error:
        return worked, error.message
    finally:
        adapter.close()
    return worked, ""


def _say_errors(form: LimitsForm) -> str:
    """Return every field that is not right, by its label."""
    told = []
    for name, errors in form.errors.items():
        label = form.fields[name].label or name.capitalize() if name in form.fields else ""
        told.append(" ".join([*([f"{label}:"] if label else []), *map(str, errors)]))
    return " ".join(told)
