"""Beat is what brings back work that nobody asks for; one or two of them, and none at all for a while."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from dataunion.clock import db_now
from dataunion.models import Partner, SyncAttempt, SyncJob
from tests.flows.house import TICK_S, House, eventually
from tests.flows.sandboxes import Sandboxes


def retry_soon() -> None:
    assert Partner.objects.update(backoff_base_s=0.2) == 2


def test_a_job_that_failed_twice_is_synced_with_nobody_signed_in(house: House, sandboxes: Sandboxes) -> None:
    retry_soon()
    sandboxes.arm_s3("put_500", times=2, per_subject=2)
    house.start("akave", "clock", "beat")

    record_id = house.hand_in("one", {"steps": 1})
    eventually(lambda: house.is_synced(record_id, "akave"))

    assert house.outcomes(record_id, "akave") == ["transient", "transient", "synced"]
    assert set(SyncAttempt.objects.values_list("trigger", flat=True)) == {"ingest"}


def test_without_beat_due_work_waits_until_beat_is_back(house: House, sandboxes: Sandboxes) -> None:
    retry_soon()
    sandboxes.arm_s3("put_500")
    house.start("akave", "clock")
    record_id = house.hand_in("one", {"steps": 1})
    job = eventually(lambda: SyncJob.objects.filter(partner="akave", status="retrying").first())
    requests = len(sandboxes.s3.log())

    eventually(lambda: db_now() > job.due_at + timedelta(seconds=4 * TICK_S))
    waiting = SyncJob.objects.get(pk=job.pk)
    assert (waiting.status, waiting.fence, waiting.due_at) == ("retrying", job.fence, job.due_at)
    assert len(sandboxes.s3.log()) == requests

    house.start("beat")
    eventually(lambda: house.is_synced(record_id, "akave"))
    assert house.outcomes(record_id, "akave") == ["transient", "synced"]


def test_two_beats_and_two_workers_do_everything_once(house: House, sandboxes: Sandboxes) -> None:
    retry_soon()
    before = sandboxes.stored_keys()
    sandboxes.arm_s3("put_500", times=3, every=2)
    house.start("akave", "akave2", "vana", "clock", "beat", "beat2")

    record_ids = [house.hand_in(f"id-{number}", {"steps": number}) for number in range(8)]
    eventually(lambda: not SyncJob.objects.exists())

    attempts = Counter(SyncAttempt.objects.filter(outcome="synced").values_list("record_id", "partner"))
    assert (len(attempts), set(attempts.values())) == (16, {1})
    outcomes = Counter(SyncAttempt.objects.values_list("partner", "outcome"))
    assert outcomes == {("akave", "synced"): 8, ("akave", "transient"): 3, ("vana", "synced"): 8}
    urls = [house.record(record_id)["partners"]["akave"]["url"] for record_id in record_ids]
    assert len(sandboxes.stored_keys() - before) == len(set(urls)) == 8
    registered = sandboxes.registered_urls()
    assert [registered[url] for url in urls] == [1] * 8
