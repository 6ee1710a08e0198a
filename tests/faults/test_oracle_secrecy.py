"""The oracle finds health data, keys and tokens wherever they stand, in every form, among thousands of secrets."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataunion import claims, ingest, vault
from dataunion.models import ChainTx, DataUnion, Partner, SyncAttempt, SyncJob
from dataunion.models.expressions import MergeEntry
from dataunion.sync import engine
from tests.faults.oracle import MARKER, Chronicle, Evidence, find_violations, in_every_form
from tests.faults.rules.secrecy import Needles
from tests.flows.sandboxes import ACCESS_SECRET, HOOK_SECRET

KEY = "0x" + "3f" * 32


@pytest.fixture
def record(database: str) -> DataUnion:
    """Give a record that both partners have, whose key is KEY."""
    made = ingest.register_record(
        user_hash="user-1", data_type="health", data_id="one", payload=json.dumps({"note": MARKER}).encode()
    )
    engine.push("akave")
    engine.push("vana")
    sealed = claims.seal_saved(made.record.pk, "akave", {"record_key": KEY})
    change = MergeEntry("akave", {"retry_data": vault.to_text(sealed)})
    DataUnion.objects.filter(pk=made.record.pk).update(partners=change)
    return made.record


def told(**fields: Any) -> list[str]:
    found = find_violations(Evidence(patience_s=0, at_rest=False, **fields))
    return [violation.what for violation in found if violation.invariant == "I9"]


def offset(number: int) -> Callable[[str], bytes]:
    return lambda secret: base64.b64encode(b"x" * number + secret.encode() + b"yy")


FORMS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "escaped": lambda secret: json.dumps(secret).encode(),
    "base64": offset(0),
    "base64, shifted by one": offset(1),
    "base64, shifted by two": offset(2),
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()),
    "hex": lambda secret: secret.encode().hex().encode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("secret", "name"), [(MARKER, "health data"), (KEY, "a record's key")])
def test_a_secret_in_a_log_is_named(record: DataUnion, tmp_path: Path, form: str, secret: str, name: str) -> None:
    (tmp_path / "worker.log").write_bytes(b'{"event": "a line before"}\n{"cause": "' + FORMS[form](secret) + b'"}\n')

    assert told(logs=[tmp_path]) == [f"worker.log: holds {name}"]
    assert told(logs=[tmp_path / "worker.log"]) == [f"worker.log: holds {name}"]


def test_a_key_without_its_prefix_or_as_bytes_is_named(record: DataUnion) -> None:
    texts = {"bytes": b"\x00" + bytes.fromhex(KEY[2:]), "digits": KEY[2:].encode()}

    assert told(texts=texts) == ["bytes: holds a record's key", "digits: holds a record's key"]


def test_a_lease_token_in_a_message_of_the_broker_is_named(database: str) -> None:
    with Chronicle() as chronicle:
        ingest.register_record(user_hash="user-1", data_type="health", data_id="one", payload=b"{}")
        [job] = claims.claim("akave", limit=1)
        text = {"broker": f'["{job.lease_token}"]'.encode()}
        assert told(texts=text) == ["broker: holds a lease token"]

        SyncJob.objects.all().update(lease_token="")

        assert told(texts=text, chronicle=chronicle) == ["broker: holds a lease token"]
        assert told(texts=text) == []


def test_a_signature_in_an_answer_is_named(record: DataUnion) -> None:
    raw = secrets.token_bytes(200)
    sealed = vault.seal(raw, "chaintxs", record.pk, "vana")
    fields = {"chain_id": 1, "signer": "0x1", "nonce": 1, "step": "register:1", "generation": 0, "hashes": []}
    ChainTx.objects.create(**fields, record=record.pk, partner="vana", raw=sealed)

    assert told(texts={"answer": b'{"raw": "0x' + raw.hex().encode() + b'"}'}) == ["answer: holds a signature"]


def test_an_api_key_in_a_metric_is_named(record: DataUnion) -> None:
    assert told(texts={"metrics": b'calls{key="sesame-open-now"} 1'}, secrets=["sesame-open-now"]) == [
        "metrics: holds an API key"
    ]


def test_the_doubles_secrets_are_looked_for(union: Any) -> None:
    texts = {"a": ACCESS_SECRET.encode(), "b": HOOK_SECRET.encode(), "c": union.sandboxes.signer_key.encode()}

    found = find_violations(union.evidence(texts=texts, patience_s=0))

    assert {violation.what[0] for violation in found} == {"a", "b", "c"}


def test_an_error_message_that_holds_data_is_named(record: DataUnion) -> None:
    SyncAttempt.objects.filter(partner="vana").update(error_message=f"vana: refused {MARKER}")
    Partner.objects.filter(name="vana").update(state_reason=f"key {KEY} is wrong")

    attempt, partner = SyncAttempt.objects.get(partner="vana").pk, Partner.objects.get(name="vana").pk
    assert told() == [f"partners {partner}: holds a record's key", f"syncattempts {attempt}: holds health data"]


def test_an_entry_that_shows_a_key_is_named(record: DataUnion) -> None:
    DataUnion.objects.update(partners=MergeEntry("akave", {"note": {"key": KEY}}))

    assert told() == [f"dataunions {record.pk}: holds a record's key"]


def test_data_that_are_not_sealed_are_named(record: DataUnion) -> None:
    job = SyncJob.objects.create(record=record, partner="akave", user_hash="u", data_type="health", fence=9)
    SyncJob.objects.update(saved=b"in clear: " + MARKER.encode())

    assert told() == [f"syncjobs {job.pk}: holds health data in clear"]


def test_what_only_looks_like_a_secret_is_no_violation(record: DataUnion) -> None:
    ids = f"{record.pk} secret-of-nobody {KEY[:40]} {KEY[10:50]} {base64.b64encode(b'planted-Zo')!r}"

    assert told(texts={"log": ids.encode()}) == []


def test_thousands_of_secrets_are_found_in_megabytes_at_once() -> None:
    keys = {"0x" + secrets.token_hex(32): "a key" for _ in range(6000)}
    line = b'{"event": "sync", "record": "0190abcd-7000-7000-8000-000000000000", "url": "http://127.0.0.1/b/%d"}\n'
    log = b"".join(line % number for number in range(20_000))
    needles, began_at = Needles(keys), time.process_time()

    assert needles.find(log) == set()
    assert needles.find(log + offset(1)(next(iter(keys)))) == {"a key"}
    assert time.process_time() - began_at < 5.0


def test_every_form_of_a_key_is_listed_once() -> None:
    assert len(in_every_form(KEY)) == 7
