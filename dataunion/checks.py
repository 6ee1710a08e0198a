"""System checks: what is wrong with the configuration, said before anything starts."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from dataunion.conf import conf
from dataunion.loaders.base import LoaderConfigError
from dataunion.loaders.registry import find_loader
from dataunion.state import DataType
from partners import registry
from partners.errors import MisconfiguredError
from partners.requirements import problems


@register(Tags.compatibility)
def check_partners(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """Each partner of the settings has a known adapter and all that it needs."""
    # An embedded instance may be looked at before its partners are set up; a deployment may not start without.
    level = Warning if settings.EMBEDDED else Error
    found: list[CheckMessage] = []
    for name, row in settings.PARTNERS.items():
        try:
            adapter = registry.load(row["BACKEND"])
        except MisconfiguredError as error:
            found.append(Error(error.message, id="dataunion.E001"))
            continue
        for option, problem in problems(adapter.options, row["OPTIONS"]).items():
            variable = f"{name.upper()}_{option.upper()}"
            found.append(level(f"{variable} {problem}.", id="dataunion.E002"))
    return found


@register(Tags.compatibility)
def check_lease(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """The lease is longer than a renewal needs."""
    if conf().sync_lease_s < 3:
        return [Error("DATAUNION_SYNC_LEASE_S should be 3 seconds or more.", id="dataunion.E003")]
    return []


@register(Tags.compatibility)
def check_alerts(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """Whoever is to get alerts by e-mail can get them."""
    if settings.ALERT_EMAILS and not settings.CAN_SEND_EMAIL:
        said = "DATAUNION_ALERT_EMAILS is set, but EMAIL_URL is not: no alert is sent by e-mail."
        return [Warning(said, id="dataunion.W001")]
    return []


@register(Tags.compatibility)
def check_loaders(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """Each loader of the settings is for a known type, and has all that it needs."""
    found: list[CheckMessage] = []
    for data_type in settings.LOADERS:
        variable = f"DATAUNION_LOADER_{data_type.upper()}"
        if data_type not in list(DataType):
            valid = ", ".join(f"DATAUNION_LOADER_{name.upper()}" for name in DataType)
            found.append(Error(f"{variable} is for no data type; it should be one of {valid}.", id="dataunion.E004"))
            continue
        try:
            find_loader(data_type)
        except LoaderConfigError as error:
            found.append(Error(f"{variable}: {error}.", id="dataunion.E004"))
    return found
