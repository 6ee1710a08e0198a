"""Every row, and what partners in memory hold, at one moment; to be put back before each test that plants something."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from django.apps import apps
from django.db.models import Model

from dataunion import roster
from partners.testing import FakePartner


def empty() -> None:
    """Leave no row of ours, and nothing at partners in memory."""
    for model in apps.get_app_config("dataunion").get_models():
        model._default_manager.all().delete()
    FakePartner.reset()
    roster.forget_adapters()


class Picture:
    """Taken when it is made; `put_back` wants empty tables."""

    def __init__(self) -> None:
        models = apps.get_app_config("dataunion").get_models()
        self._rows: dict[type[Model], list[Any]] = {m: list(m._default_manager.all()) for m in models}
        names = [row.name for row in roster.find_partners()]
        services = {name: FakePartner.service(name) for name in names}
        self._fakes = {name: (dict(fake.objects), list(fake.calls)) for name, fake in services.items()}

    def put_back(self) -> None:
        """Make it so again."""
        for model, rows in self._rows.items():
            if rows:
                model._default_manager.bulk_create(deepcopy(rows))
        for name, (objects, calls) in self._fakes.items():
            FakePartner.service(name).objects.update(objects)
            FakePartner.service(name).calls.extend(calls)
