"""Every page and every action of the admin, as the URL resolver and the model admins know them.

A pattern with an argument that is unknown here, or a model without a factory, is an error: nobody forgets a page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import factory
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve, reverse
from django.utils.http import urlsafe_base64_encode
from django.utils.regex_helper import normalize

from dataunion import signin
from dataunion.models import DataUnion, User
from tests import factories

Rows = Mapping[type[Model], Model]
_ROOT = "admin/"
_KEYS = ("object_id", "pk", "id")  # arguments that are the key of a row of the model whose pages these are


@dataclass(frozen=True)
class Place:
    """An address: its name ("dataunion_partner_pause"; "" for Django's redirects), its model ("" for none)."""

    name: str
    route: str
    url: str
    model: str = ""


@dataclass(frozen=True)
class Action:
    """Something to do with selected rows, posted to the list."""

    name: str
    model: str
    url: str
    row: str

    def body(self, **more: str) -> dict[str, Any]:
        """Return what the list's form would post."""
        return {"action": self.name, ACTION_CHECKBOX_NAME: [self.row], "index": "0", **more}


def make_rows(known: Rows | None = None) -> Rows:
    """Make a row of every model that the admin shows; those that are known are taken as they are."""
    admin.autodiscover()  # the URLs do so when they are first asked for, which may come later
    rows = dict(known or {})
    return {model: rows.get(model) or _make(model) for model in admin.site._registry}


def read_places(rows: Rows) -> list[Place]:
    """Return every address under /admin/, filled with the keys of these rows."""
    return [_fill(name, route, model, rows) for route, name, model in find_routes()]


def read_actions(rows: Rows) -> list[Action]:
    """Return every action of every list, whoever may do it."""
    return [
        Action(name, model._meta.model_name or "", _list_url(model), str(rows[model].pk))
        for model, model_admin in admin.site._registry.items()
        for _, name, _ in model_admin._get_base_actions()
    ]


def shows_page(browser: Client, place: Place) -> bool:
    """Say whether this person sees a page there."""
    answer = browser.get(place.url)
    return answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/html")


def find_routes() -> list[tuple[str, str, type[Model] | None]]:
    """Return (route, name, model) of every pattern under /admin/, in the resolver's order."""
    return [found for found in _walk(get_resolver().url_patterns, "", None) if found[0].startswith(_ROOT)]


def _walk(patterns: list[Any], before: str, model: type[Model] | None) -> Iterator[tuple[str, str, type[Model] | None]]:
    for pattern in patterns:
        route = before + _template(pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, route, _model_of(route) or model)
        else:
            yield route, pattern.name or "", model


def _template(pattern: URLPattern | URLResolver) -> str:
    """Return the pattern as `reverse` sees it: %(pk)s for an argument."""
    template, _ = normalize(pattern.pattern.regex.pattern)[0]
    return template


def _model_of(route: str) -> type[Model] | None:
    owners = {f"{_ROOT}{m._meta.app_label}/{m._meta.model_name}/": m for m in admin.site._registry}
    return owners.get(route)


def _fill(name: str, route: str, model: type[Model] | None, rows: Rows) -> Place:
    known = _arguments(rows) | (dict.fromkeys(_KEYS, str(rows[model].pk)) if model else {})
    try:
        url = "/" + route % (known | _own_arguments(rows).get(name, {}))
    except KeyError as error:
        raise LookupError(f"tests/admin/places.py knows nothing for {error} of {route}; add it there") from None
    if (resolve(url).url_name or "") != name:
        raise LookupError(f"{url} is answered by {resolve(url).url_name}, not by {name}: another pattern hides it")
    return Place(name, route, url, (model._meta.model_name or "") if model else "")


def _arguments(rows: Rows) -> dict[str, str]:
    """Return what arguments mean on pages that belong to no model."""
    return {
        "app_label": "dataunion",
        "url": "nowhere",
        "content_type_id": str(ContentType.objects.get_for_model(DataUnion).pk),
        "object_id": str(rows[DataUnion].pk),
    }


def _own_arguments(rows: Rows) -> dict[str, dict[str, str]]:
    """Return the arguments that mean something on one page only, by its name."""
    person = rows[User]
    assert isinstance(person, User)
    uid = urlsafe_base64_encode(str(person.pk).encode())
    return {
        "sign_in": {"uid": uid, "token": signin.tokens.make_token(person)},
        "password_reset_confirm": {"uidb64": uid, "token": signin.reset_tokens.make_token(person)},
    }


def _list_url(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def _make(model: type[Model]) -> Model:
    if model is User:
        return factories.StaffFactory(username="someone", email="someone@example.org")
    if model is Group:
        return Group.objects.create(name="guests")
    if model is LogEntry:
        return _make_entry()
    for made in vars(factories).values():
        if isinstance(made, type) and issubclass(made, factory.django.DjangoModelFactory) and _makes(made, model):
            return made()  # type: ignore[no-any-return]
    raise LookupError(f"tests/factories.py has no factory of {model.__name__}; add one")


def _makes(made: type[Any], model: type[Model]) -> bool:
    return not made._meta.abstract and made._meta.model is model


def _make_entry() -> LogEntry:
    kind = ContentType.objects.get_for_model(User)
    someone = factories.StaffFactory(username="logged")
    return LogEntry.objects.create(
        user=someone,
        content_type=kind,
        object_id=str(someone.pk),
        object_repr="logged",
        action_flag=CHANGE,
        change_message="Changed",
    )
