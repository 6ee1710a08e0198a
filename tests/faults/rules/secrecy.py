"""I9: no health data, key or token in any line, message, argument or answer of ours, in whatever form."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import models

from dataunion import roster, vault
from dataunion.models import Partner, Signer, SyncJob, TaskLease
from tests.faults.evidence import MARKER, Evidence
from tests.faults.rules.world import World
from tests.faults.violation import Violation
from tests.flows.sandboxes import ACCESS_SECRET, HOOK_SECRET

_WINDOW = 16
_RUN = re.compile(rb"[A-Za-z0-9+/=_-]{%d,}" % _WINDOW)
_TOKENS = {"lease_token", "gate_token", "token"}  # columns that are there to hold one
_SEALED = "retry_data"
_DATA = "health data"
_FEW = 500  # secrets whose bare bytes are looked for too


def in_every_form(secret: str) -> set[bytes]:
    """Return how a secret could stand somewhere: as text, escaped, in hex or base64 at any offset, as bytes."""
    raw, forms = secret.encode(), {secret.encode(), json.dumps(secret)[1:-1].encode(), secret.encode().hex().encode()}
    for offset in range(3):
        inside = base64.b64encode(b"\0" * offset + raw)[4:-4]
        forms |= {inside, inside.translate(bytes.maketrans(b"+/", b"-_"))}
    digits = secret.removeprefix("0x")
    if len(digits) == 64 and not set(digits) - set("0123456789abcdef"):
        forms |= {digits.encode(), bytes.fromhex(digits)}
    return forms


class Needles:
    """Thousands of secrets, looked for at once: where 16 characters of a form's middle stand, the rest is compared."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._windows: dict[bytes, list[tuple[bytes, int, str]]] = {}
        self._whole: dict[bytes, str] = {}  # what is short, or holds other characters than base64 does
        for secret, name in secrets.items():
            for form in in_every_form(secret):
                at = max(0, (len(form) - _WINDOW) // 2)
                middle = form[at : at + _WINDOW]
                if _RUN.fullmatch(middle):
                    self._windows.setdefault(middle, []).append((form, at, name))
                elif len(secrets) < _FEW or name == _DATA:
                    self._whole[form] = name

    def find(self, text: bytes) -> set[str]:
        """Return the names of the secrets that stand in a text."""
        found = {name for form, name in self._whole.items() if form in text}
        for run in _RUN.finditer(text):
            characters, start = run.group(), run.start()
            for at in range(len(characters) - _WINDOW + 1):
                for form, before, name in self._windows.get(characters[at : at + _WINDOW], ()):
                    begin = start + at - before
                    if begin >= 0 and text[begin : begin + len(form)] == form:
                        found.add(name)
        return found


def check_secrecy(world: World, evidence: Evidence, tokens: Collection[str]) -> Iterator[Violation]:
    """Yield where a secret stands; `tokens` are the leases' that the chronicle saw."""
    needles = Needles(secrets_of(world, evidence, tokens))
    for where, text in (*_files(evidence.logs), *evidence.texts.items(), *_columns()):
        for name in sorted(needles.find(text)):
            yield Violation("I9", f"{where}: holds {name}")
    for where, sealed in _sealed_columns(world):
        yield Violation("I9", f"{where}: holds {sealed} in clear")


def secrets_of(world: World, evidence: Evidence, tokens: Collection[str]) -> dict[str, str]:
    """Return every secret in use and what it is."""
    found = {MARKER: _DATA}
    found |= dict.fromkeys(evidence.secrets, "an API key")
    if evidence.sandboxes is not None:
        known = {ACCESS_SECRET: "an access secret", HOOK_SECRET.removeprefix("whsec_"): "a webhook secret"}
        found |= {**known, evidence.sandboxes.signer_key: "a private key"}
    for name, row in world.partners.items():
        found |= dict.fromkeys(_configured(row), f"a secret of {name}'s configuration")
    for side in world.sides.values():
        found |= dict.fromkeys(_saved(side.saved), "a record's key")
    found |= dict.fromkeys(tokens, "a lease token")
    found |= dict.fromkeys(_held_tokens(), "a lease token")
    found |= dict.fromkeys(_signatures(world), "a signature")
    return {secret: name for secret, name in found.items() if len(secret) >= 8}


def _configured(row: Partner) -> Iterator[str]:
    secret = {option.name for option in roster.adapter_class(row).options if option.secret}
    return (str(value) for name, value in roster.read_config(row).items() if name in secret and value)


def _saved(saved: Mapping[str, Any]) -> Iterator[str]:
    yield from (str(saved[name]) for name in ("record_key", "secret") if saved.get(name))
    yield from (str(one["ephemeral_key"]) for one in saved.get("ecies", []))


def _held_tokens() -> Iterator[str]:
    for rows, column in ((SyncJob, "lease_token"), (Signer, "lease_token"), (TaskLease, "token")):
        yield from rows._default_manager.exclude(**{column: ""}).values_list(column, flat=True)


def _signatures(world: World) -> Iterator[str]:
    """Yield the last number of each signed transaction's signature."""
    for tx in world.txs:
        yield vault.open_sealed(bytes(tx.raw), "chaintxs", tx.record, tx.partner).hex()[-64:]


def _files(paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                yield file.name, file.read_bytes()


def _columns() -> Iterator[tuple[str, bytes]]:
    """Yield what every row of ours holds as text, but sealed bytes and tokens."""
    for model in apps.get_app_config("dataunion").get_models():
        names = [field.attname for field in model._meta.concrete_fields if _is_text(field)]
        for row in model._default_manager.values("pk", *names):
            text = "\n".join(_as_text(row[name]) for name in names)
            yield f"{model._meta.db_table} {row['pk']}", text.encode()


def _is_text(field: Any) -> bool:
    return isinstance(field, models.CharField | models.TextField | models.JSONField) and field.name not in _TOKENS


def _as_text(value: Any) -> str:
    if isinstance(value, dict) and any(isinstance(entry, dict) and _SEALED in entry for entry in value.values()):
        value = {name: {k: v for k, v in entry.items() if k != _SEALED} for name, entry in value.items()}
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _sealed_columns(world: World) -> Iterator[tuple[str, str]]:
    """Yield where what should be sealed is not: data, or a record's own key beside it."""
    for side in world.sides.values():
        key = str(side.saved.get("record_key") or side.saved.get("secret") or "")
        kept = bytes(side.job.saved or b"") if side.job else vault.from_text(side.entry.retry_data or "")
        if key and key.encode() in kept:
            yield f"{side}", "a record's key"
    forms = in_every_form(MARKER)
    for model in apps.get_app_config("dataunion").get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, models.BinaryField):
                for pk, value in model._default_manager.exclude(**{field.name: None}).values_list("pk", field.name):
                    if any(form in bytes(value) for form in forms):
                        yield f"{model._meta.db_table} {pk}", _DATA
