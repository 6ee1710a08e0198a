"""Which adapters there are: a table to read, each imported on first use. Knows no Django; settings name the rest.

A row of settings is `"name": {"BACKEND": short name or dotted path, "OPTIONS": {...}}`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from partners.base import Partner
from partners.errors import MisconfiguredError

BACKENDS = {
    "akave": "partners.akave.adapter.AkavePartner",
    "vana": "partners.vana.adapter.VanaPartner",
    "webhook": "partners.webhook.adapter.WebhookPartner",
}


@cache
def load(backend: str) -> type[Partner]:
    """Return the adapter's class by its short name or dotted path.

    Raises MisconfiguredError naming what would be valid, or what the class lacks.
    """
    path = BACKENDS.get(backend, backend)
    module_name, _, class_name = path.rpartition(".")
    if not module_name or path.startswith("."):
        raise MisconfiguredError(f"no adapter is called {backend!r}; it should be {_valid()}")
    depth = sys.getrecursionlimit()
    try:
        found = getattr(import_module(module_name), class_name, None)
    except ModuleNotFoundError as error:
        raise MisconfiguredError(
            f"adapter {backend!r} cannot be imported: no module {error.name!r}; it should be {_valid()}"
        ) from error
    finally:
        # py_ecc, which eth_account brings, raises it to 100,000: deeply nested JSON would then crash the process.
        sys.setrecursionlimit(depth)
    if not (isinstance(found, type) and issubclass(found, Partner)):
        raise MisconfiguredError(f"{path} is not a class made from partners.base.Partner; it should be {_valid()}")
    _refuse_gaps(found, path)
    return found


def build(name: str, backend: str, config: Mapping[str, Any]) -> Partner:
    """Make the partner `name`. Raises MisconfiguredError naming every wrong option and what it should hold."""
    return load(backend)(name, config)


def _valid() -> str:
    return f"one of {', '.join(sorted(BACKENDS))}, or a dotted path such as {BACKENDS['webhook']}"


def _refuse_gaps(found: type[Partner], path: str) -> None:
    """Raise when the class lacks what the engine will ask for: at start, not at the first record."""
    gaps = [name for name in ("adapter", "label", "steps") if not hasattr(found, name)]
    steps = (*getattr(found, "steps", ()), *found.revoke_steps)
    gaps += [step for step in steps if not (hasattr(found, step) or hasattr(found, f"{step}_many"))]
    if gaps:
        raise MisconfiguredError(f"{path} lacks {', '.join(gaps)}; docs/partners/adding.md says what an adapter needs")
