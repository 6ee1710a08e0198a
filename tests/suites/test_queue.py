"""The old service's queue suite: start, Akave, Vana, final state, retry; with the real adapters on real sockets."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from dataunion import retries, roster, stats
from dataunion.clock import db_now
from dataunion.ingest import register_record
from dataunion.models import ChainTx, DataUnion, Partner, RemoteRef, SyncAttempt, SyncJob
from dataunion.sync import engine
from partners.akave.encoding import decrypt
from partners.sandbox.chain.deploy import key_address, role_key
from partners.vana.encoding import ecies_decrypt
from tests.flows.sandboxes import ACCESS_SECRET, Sandboxes
from tests.suites.conftest import Work

pytestmark = pytest.mark.django_db
PAYLOAD = b'{"heart_rate": {"value": 61, "unit": "beats/min"}, "name": "Zo\xc3\xab"}'


def hand_in(data_id: str = "a", payload: bytes = PAYLOAD, data_type: str = "health") -> DataUnion:
    return register_record(user_hash="user-1", data_type=data_type, data_id=data_id, payload=payload).record


def entry(record: DataUnion, partner: str) -> dict[str, Any]:
    found: dict[str, Any] = DataUnion.objects.get(pk=record.pk).partners[partner]
    return found


def is_synced(record: DataUnion, *partners: str) -> bool:
    return all(entry(record, partner)["is_synced"] for partner in partners)


def limit_attempts(partner: str) -> None:
    roster.find_partners()
    assert Partner.objects.filter(name=partner).update(max_attempts=2) == 1


def outcomes(record: DataUnion, partner: str) -> list[str]:
    rows = SyncAttempt.objects.filter(record=record, partner=partner).order_by("number")
    return list(rows.values_list("outcome", flat=True))


# --- start -----------------------------------------------------------------------------------------------------------


def test_handing_in_opens_one_job_for_each_partner(sandboxes: Sandboxes) -> None:
    record = hand_in()

    jobs = {job.partner: job for job in SyncJob.objects.filter(record=record)}
    assert set(jobs) == {"akave", "vana"}
    assert {job.status for job in jobs.values()} == {"pending"}
    assert jobs["akave"].due_at <= db_now() < jobs["vana"].due_at
    assert not is_synced(record, "akave")
    assert not is_synced(record, "vana")


def test_handing_in_again_opens_nothing_more(sandboxes: Sandboxes) -> None:
    first, again = hand_in(), hand_in()

    assert first.pk == again.pk
    assert SyncJob.objects.count() == 2


def test_a_record_without_its_data_waits_for_it(sandboxes: Sandboxes) -> None:
    record = DataUnion.create_data_union(user_hash="user-1", data_type="health", data_id="late")
    assert engine.push("akave") == 0

    hand_in("late")
    engine.push("akave")

    assert is_synced(record, "akave")


# --- Akave -----------------------------------------------------------------------------------------------------------


def test_akave_holds_one_encrypted_object_that_the_records_key_opens(sandboxes: Sandboxes) -> None:
    record = hand_in()
    before = sandboxes.stored_keys()

    assert engine.push("akave") == 1

    told = entry(record, "akave")
    message = sandboxes.fetch(told["url"])
    assert sandboxes.stored_keys() - before == {told["key"]}
    assert told["sha256"] == hashlib.sha256(message).hexdigest()
    assert told["url"] == f"{sandboxes.s3.url}/suites-health/{told['key']}"
    assert PAYLOAD not in message
    assert decrypt(message, DataUnion.objects.get().retry_data("akave")["record_key"]) == PAYLOAD


def test_akave_takes_each_data_type_into_its_own_bucket(sandboxes: Sandboxes) -> None:
    checkin = hand_in("c", b'{"mood": "calm"}', "checkin")

    engine.push("akave")

    assert "/suites-checkin/" in entry(checkin, "akave")["url"]


def test_the_object_name_tells_nothing_of_the_record(sandboxes: Sandboxes) -> None:
    record = hand_in("a-telling-id")

    engine.push("akave")

    url = entry(record, "akave")["url"]
    assert not any(told in url for told in ("a-telling-id", "user-1", str(record.pk)))


def test_a_failing_upload_is_told_and_leaves_vana_alone(sandboxes: Sandboxes) -> None:
    sandboxes.arm_s3("put_500")
    record = hand_in()

    engine.push("akave")

    job = SyncJob.objects.get(partner="akave")
    assert (job.status, job.attempts, job.step, job.error_class) == ("retrying", 1, "upload", "transient")
    assert entry(record, "akave")["error_message"] == job.error_message
    assert "akave: upload" in job.error_message
    assert SyncJob.objects.get(partner="vana").status == "pending"
    assert entry(record, "vana")["error_message"] is None


def test_a_lost_answer_to_an_upload_stores_no_second_object(sandboxes: Sandboxes, work: Work) -> None:
    sandboxes.arm_s3("put_lost_response")
    record, before = hand_in(), sandboxes.stored_keys()

    work("akave", until=lambda: is_synced(record, "akave"))

    key = entry(record, "akave")["key"]
    assert sandboxes.stored_keys() - before == {key}
    assert len(sandboxes.puts(key)) == 2
    assert len({put["sha256"] for put in sandboxes.puts(key)}) == 1


# --- Vana ------------------------------------------------------------------------------------------------------------


def test_vana_waits_for_akave(sandboxes: Sandboxes) -> None:
    record = hand_in()
    registered = sandboxes.registered_urls()
    SyncJob.objects.filter(partner="vana").update(due_at=db_now())

    assert engine.push("vana") == 1

    job = SyncJob.objects.get(partner="vana")
    assert (job.status, job.attempts) == ("pending", 0)
    assert sandboxes.registered_urls() == registered
    assert outcomes(record, "vana") == []


def test_akaves_end_brings_vana_forward(sandboxes: Sandboxes) -> None:
    hand_in()

    engine.push("akave")

    assert SyncJob.objects.get().partner == "vana"
    assert SyncJob.objects.get().due_at <= db_now()


def test_vana_registers_proves_refines_and_rewards_once(sandboxes: Sandboxes, work: Work) -> None:
    record = hand_in()
    jobs, pot = sandboxes.read("tee_pool", "jobsCount"), sandboxes.read("dlp", "totalContributorsRewardAmount")

    work("akave", "vana", until=lambda: is_synced(record, "akave", "vana"))

    told, url = entry(record, "vana"), entry(record, "akave")["url"]
    assert sandboxes.read("registry", "fileIdByUrl", url) == told["file_id"]
    assert sandboxes.registered_urls()[url] == 1
    assert sandboxes.read("tee_pool", "jobsCount") - jobs == 1
    assert pot - sandboxes.read("dlp", "totalContributorsRewardAmount") == int(told["reward"]["amount"]) == 10**18
    refiner_id = sandboxes.chain.addresses.refiner_id
    assert sandboxes.read("registry", "fileRefinements", told["file_id"], refiner_id) == told["refinement"]["url"]
    assert told["proof"]["score"] == str(10**18)
    assert (told["tx_hash"][:2], len(told["tx_hash"]), told["block"] > 0) == ("0x", 66, True)


def test_the_dlp_can_open_what_was_registered(sandboxes: Sandboxes, work: Work) -> None:
    record = hand_in()

    work("akave", "vana", until=lambda: is_synced(record, "vana"))

    dlp = sandboxes.chain.addresses.dlp
    sealed = sandboxes.read("registry", "filePermissions", entry(record, "vana")["file_id"], dlp)
    password = ecies_decrypt(bytes.fromhex(role_key("dlp")[2:]), sealed).decode()
    assert decrypt(sandboxes.fetch(entry(record, "akave")["url"]), password) == PAYLOAD


def test_a_lost_answer_to_a_broadcast_registers_nothing_twice(sandboxes: Sandboxes, work: Work) -> None:
    sandboxes.arm_chain("broadcast_lost_response", times=3)
    record = hand_in()

    work("akave", "vana", until=lambda: is_synced(record, "vana"))

    assert sandboxes.registered_urls()[entry(record, "akave")["url"]] == 1
    assert set(ChainTx.objects.values_list("generation", flat=True)) == {0}


def test_vanas_failure_does_not_touch_akaves_success(sandboxes: Sandboxes, work: Work) -> None:
    limit_attempts("vana")
    record = hand_in()
    engine.push("akave")
    akave = entry(record, "akave")
    sandboxes.arm_chain("rpc_500", times=1000, per_subject=1000, match="eth_estimateGas")

    work("vana", until=lambda: SyncJob.objects.filter(partner="vana", status="failed").exists())

    assert entry(record, "akave") == akave
    assert not is_synced(record, "vana")
    assert "vana: " in entry(record, "vana")["error_message"]


# --- final state -----------------------------------------------------------------------------------------------------


def test_a_synced_record_has_no_work_left(sandboxes: Sandboxes, work: Work) -> None:
    records = [hand_in(), hand_in("b", b'"bare text"'), hand_in("c", b"[1, 2]", "checkin")]

    work("akave", "vana", until=lambda: not SyncJob.objects.exists())

    for record in records:
        assert is_synced(record, "akave", "vana")
        assert (outcomes(record, "akave")[-1], outcomes(record, "vana")[-1]) == ("synced", "synced")
        assert [entry(record, name)["error_message"] for name in ("akave", "vana")] == [None, None]
    totals = stats.read_totals()
    assert (totals.records, totals.partners["akave"].synced, totals.partners["vana"].synced) == (3, 3, 3)


def test_a_synced_record_is_found_by_what_partners_call_it(sandboxes: Sandboxes, work: Work) -> None:
    record = hand_in()

    work("akave", "vana", until=lambda: is_synced(record, "vana"))

    told = entry(record, "vana")
    refs = set(RemoteRef.objects.filter(record=record).values_list("kind", "value"))
    assert refs == {
        ("object_key", entry(record, "akave")["key"]),
        ("tx_hash", told["tx_hash"]),
        ("file_id", str(told["file_id"])),
    }


def test_a_synced_record_is_left_alone_by_later_pushes(sandboxes: Sandboxes, work: Work) -> None:
    record = hand_in()
    work("akave", "vana", until=lambda: is_synced(record, "vana"))
    before, requests = DataUnion.objects.get().partners, len(sandboxes.s3.log())

    assert (engine.push("akave"), engine.push("vana")) == (0, 0)

    assert DataUnion.objects.get().partners == before
    assert len(sandboxes.s3.log()) == requests


def test_the_entry_shows_no_secret(sandboxes: Sandboxes, work: Work) -> None:
    record = hand_in()

    work("akave", "vana", until=lambda: is_synced(record, "vana"))

    shown = str(DataUnion.objects.get().partners)
    key = DataUnion.objects.get().retry_data("akave")["record_key"]
    assert not any(secret in shown for secret in (key, key[2:], ACCESS_SECRET, sandboxes.signer_key[2:], "beats/min"))


# --- retry -----------------------------------------------------------------------------------------------------------


def fail_at_akave(sandboxes: Sandboxes, work: Work) -> DataUnion:
    limit_attempts("akave")
    sandboxes.arm_s3("put_500", times=2, per_subject=2)
    record = hand_in()
    work("akave", until=lambda: SyncJob.objects.filter(partner="akave", status="failed").exists())
    return record


def test_a_record_out_of_attempts_is_failed_and_found(sandboxes: Sandboxes, work: Work) -> None:
    record = fail_at_akave(sandboxes, work)

    assert DataUnion.find_failed_syncs("akave") == [record]
    assert DataUnion.find_failed_syncs("akave", "checkin") == []
    assert DataUnion.find_failed_syncs("vana") == []
    assert outcomes(record, "akave") == ["transient", "transient"]
    assert engine.push("akave") == 0


def test_a_retry_goes_on_with_the_same_key_and_name(sandboxes: Sandboxes, work: Work) -> None:
    record = fail_at_akave(sandboxes, work)
    saved = record.retry_data("akave")

    assert retries.retry_job(SyncJob.objects.get(partner="akave"), by="staff")
    engine.push("akave")

    again = DataUnion.objects.get().retry_data("akave")
    assert is_synced(record, "akave")
    assert (again["record_key"], again["key"]) == (saved["record_key"], saved["key"])
    assert outcomes(record, "akave") == ["transient", "transient", "synced"]
    assert SyncAttempt.objects.get(number=3, partner="akave").trigger == "staff"


def test_a_run_over_all_failures_ends_with_everything_synced(sandboxes: Sandboxes, work: Work) -> None:
    record = fail_at_akave(sandboxes, work)

    run = retries.start_run({"partner": "akave"}, by="staff")
    work("akave", "vana", until=lambda: is_synced(record, "akave", "vana"))

    assert (run.state, run.total, run.wanted, run.done) == ("done", 1, 1, 1)
    assert DataUnion.find_failed_syncs("akave") == []


def test_retry_data_from_elsewhere_is_gone_on_with(sandboxes: Sandboxes, work: Work) -> None:
    record = fail_at_akave(sandboxes, work)
    ours = {**record.retry_data("akave"), "key": "f" * 32}

    record.update_partner_sync("akave", False, retry_data=ours)
    engine.push("akave")

    assert entry(record, "akave")["key"] == "f" * 32


def test_a_429_spends_no_attempt_and_is_waited_for(sandboxes: Sandboxes, work: Work) -> None:
    sandboxes.arm_s3("put_429", seconds=1)
    record = hand_in()

    engine.push("akave")
    job = SyncJob.objects.get(partner="akave")
    assert (job.status, job.attempts, outcomes(record, "akave")) == ("retrying", 0, ["limited"])
    assert engine.push("akave") == 0
    work("akave", until=lambda: is_synced(record, "akave"))

    assert outcomes(record, "akave") == ["limited", "synced"]


def test_the_owner_on_chain_is_the_unions_signer(sandboxes: Sandboxes, work: Work) -> None:
    record = hand_in()

    work("akave", "vana", until=lambda: is_synced(record, "vana"))

    _, owner, _, _, _ = sandboxes.read("registry", "files", entry(record, "vana")["file_id"])
    assert owner.lower() == key_address(sandboxes.signer_key).lower()
