"""The keys: whether they open what is stored. Rows are looked at by samples, never shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from django.conf import settings

from dataunion import vault
from dataunion.diagnosis.findings import Finding, ok, problem, warning
from dataunion.models import PAYLOADS
from dataunion.rotation import read_some

_SAMPLE = 20


def look() -> Iterator[Finding]:
    """Open some rows of every sealed column, the newest and the oldest."""
    seen: Counter[str] = Counter()
    for envelope, belongs_to in read_some(_SAMPLE):
        seen["looked"] += 1
        try:
            vault.open_sealed(envelope, *belongs_to)
            seen["old"] += not vault.is_newest(envelope)
        except vault.UnknownKeyError:
            seen["unknown"] += 1
        except vault.VaultError:
            seen["damaged"] += 1
    yield judge_vault(len(settings.VAULT_KEYS), seen)
    yield judge_digests(*_compare_digests())


def judge_vault(keys: int, seen: Counter[str]) -> Finding:
    """Judge by how many of the sampled rows opened."""
    said = f"{seen['looked']} sealed rows looked at"
    if seen["unknown"]:
        remedy = "put back the key that sealed them, at the end of DATAUNION_VAULT_KEYS"
        return problem("vault keys", f"{said}, {seen['unknown']} are sealed with a key that is not there", remedy)
    if seen["damaged"]:
        return problem("vault keys", f"{said}, {seen['damaged']} are damaged", "restore these rows from a backup")
    if seen["old"]:
        remedy = "./run manage rotate_keys, until it says that the older keys can go"
        return warning("vault keys", f"{said}, {seen['old']} are sealed with an older key", remedy)
    if keys > 1 and seen["looked"]:
        remedy = "./run manage rotate_keys looks at every row; once it says so, take them out"
        return warning("vault keys", f"{said}, all by the newest key; older keys are still there", remedy)
    return ok("vault keys", f"{said}, all opened" if seen["looked"] else "of the right form; nothing is sealed yet")


def _compare_digests() -> tuple[int, int]:
    """Return of how many payloads the digest was computed anew, and for how many it is another one."""
    looked = other = 0
    for model in PAYLOADS.values():
        for pk, envelope, digest in model._default_manager.order_by("-pk").values_list("pk", "payload", "digest")[:5]:
            try:
                payload = vault.open_sealed(bytes(envelope), model._meta.db_table, pk)
            except vault.VaultError:
                continue
            looked, other = looked + 1, other + (vault.content_digest(payload) != digest)
    return looked, other


def judge_digests(looked: int, other: int) -> Finding:
    """Judge whether this digest key is the one by which records were handed in."""
    if other:
        said = f"{other} of {looked} payloads have another digest: records handed in again would be refused (409)"
        return problem("digest key", said, "put back the DATAUNION_DIGEST_KEY of before; it never changes")
    return ok("digest key", f"{looked} payloads have their digest" if looked else "of the right form; no payload yet")
