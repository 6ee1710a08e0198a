"""What we were given no longer holds: credentials, buckets, receivers' secrets; and what staff do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from django.conf import settings
from django.test import override_settings

from dataunion.claims import read_retry_data
from dataunion.models import SyncJob
from dataunion.reports import report_sync
from dataunion.state import PartnerState, Status
from tests.faults.acts import call_checked, in_thread, job_of, only, resume, row_of, set_options
from tests.faults.union import Union
from tests.flows.house import eventually
from tests.flows.sandboxes import ACCESS_KEY_ID, ACCESS_SECRET

NEW_SECRET = "a-new-secret-that-no-log-may-hold"
REFUSALS = [
    ("AKNEW", ACCESS_SECRET, "answered 403 InvalidAccessKeyId; set access_key_id to a key that the storage knows"),
    (ACCESS_KEY_ID, NEW_SECRET, "answered 403 SignatureDoesNotMatch; set secret_access_key to the secret of"),
]


@pytest.fixture
def credentials(union: Union) -> Iterator[Callable[[str, str], None]]:
    """Give what changes the credentials that the storage knows; the old ones are good again afterwards."""
    yield union.sandboxes.s3.set_credentials
    union.sandboxes.s3.set_credentials(ACCESS_KEY_ID, ACCESS_SECRET)


def settle_with(union: Union, key_id: str, secret: str) -> None:
    """Do what staff do about it, and have the work done."""
    set_options("akave", checked=False, access_key_id=key_id, secret_access_key=secret)
    resume("akave")
    union.settle("akave")
    union.sandboxes.s3.set_credentials(ACCESS_KEY_ID, ACCESS_SECRET)  # with which the oracle looks


@pytest.mark.parametrize(("key_id", "secret", "told"), REFUSALS, ids=["revoked", "rotated"])
def test_credentials_that_are_refused_stop_the_partner_and_name_the_option(
    union: Union, credentials: Callable[[str, str], None], key_id: str, secret: str, told: str
) -> None:
    only("akave")
    records = [union.hand_in(str(number)) for number in range(3)]
    call_checked("akave")
    credentials(key_id, secret)

    with override_settings(DATAUNION=replace(settings.DATAUNION, sync_threads=1)):
        union.push("akave")

    row = row_of("akave")
    assert (row.state, row.state_by, told in row.state_reason) == (PartnerState.PAUSED, "system", True)
    assert sorted(union.outcomes(record, "akave") for record in records) == [[], [], ["misconfigured"]]
    assert {job_of(record, "akave").attempts for record in records} == {0}
    settle_with(union, key_id, secret)
    assert len(union.sandboxes.stored_keys()) == 3
    union.check(secrets=[ACCESS_SECRET, NEW_SECRET])


def test_credentials_that_change_while_uploads_run_fail_no_record(
    union: Union, credentials: Callable[[str, str], None]
) -> None:
    only("akave")
    records = [union.hand_in(str(number)) for number in range(12)]
    union.sandboxes.arm_s3("put_hold", seconds=0.5, times=8)
    with in_thread(lambda: union.push("akave")):
        eventually(lambda: any(entry["held"] for entry in union.sandboxes.storage_log()))
        credentials("AKNEW", NEW_SECRET)

    assert row_of("akave").state == PartnerState.PAUSED
    assert set(SyncJob.objects.values_list("attempts", flat=True)) == {0}
    assert not SyncJob.objects.filter(status=Status.FAILED).exists()
    settle_with(union, "AKNEW", NEW_SECRET)
    assert all(union.is_synced(record, "akave") for record in records)
    assert len(union.sandboxes.stored_keys()) == 12
    union.check(secrets=[ACCESS_SECRET, NEW_SECRET])


def test_a_bucket_that_is_gone_stops_the_partner_until_it_is_back(union: Union) -> None:
    only("akave")
    record = union.hand_in()
    call_checked("akave")
    with union.sandboxes.without_bucket("health"):
        union.push("akave")

    row = row_of("akave")
    assert row.state_reason.endswith("answered 404 NoSuchBucket; create the bucket or set its name right")
    assert (job_of(record, "akave").status, job_of(record, "akave").attempts) == (Status.RETRYING, 0)
    resume("akave")
    union.settle("akave")
    union.check()


# --- a newer word during an upload


def test_an_upload_under_an_old_name_does_not_outlive_the_new_one(union: Union) -> None:
    only("akave")
    record = union.hand_in()
    union.sandboxes.arm_s3("put_hold", seconds=1.0)
    with in_thread(lambda: union.push("akave")):
        eventually(lambda: any(entry["held"] for entry in union.sandboxes.storage_log()))
        saved = read_retry_data(record=record, partner="akave")
        kept = {name: value for name, value in saved.items() if name != "key"}
        report_sync(record=record, partner="akave", is_synced=False, retry_data=kept)
        union.settle("akave")
    union.settle("akave")

    keys = {entry["key"] for entry in union.sandboxes.storage_log() if entry["method"] == "PUT"}
    assert len(keys) == 2
    assert union.sandboxes.stored_keys() == {union.entry(record, "akave")["key"]}
    union.check()
