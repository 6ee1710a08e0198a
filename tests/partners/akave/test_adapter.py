"""The Akave adapter against a real S3 server that misbehaves."""

import hashlib
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from partners.akave.adapter import AkavePartner
from partners.akave.encoding import decrypt
from partners.base import REVOKE, Item, Partner, Rewind
from partners.errors import BlockedError, MisconfiguredError, NotReady, TransientError, UnknownOutcome
from partners.sandbox.control import Server
from partners.sandbox.faults import Fault
from partners.testing import PartnerContract, run_steps
from tests.partners.akave.records import Make, Stored, make_item


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class TestAkaveContract(PartnerContract):
    secret_saved = frozenset({"record_key"})

    @pytest.fixture(autouse=True)
    def _sandbox(self, s3: Server, make_partner: Make, stored: Stored) -> None:
        self.s3, self.make, self.stored = s3, make_partner, stored

    def make_partner(self) -> Partner:
        return self.make()

    def make_item(self, number: int = 0) -> Item:
        return make_item(number)

    def remote_effects(self) -> int:
        return len(self.stored())

    def break_next(self, kind: str) -> None:
        kinds = {"unavailable": "put_503_slowdown", "lost_response": "put_lost_response"}
        self.s3.faults.arm(Fault(kind=kinds[kind]))


def test_the_receipt_leads_to_the_one_object_that_its_key_opens(make_partner: Make) -> None:
    partner, item = make_partner(), make_item()

    done = run_steps(partner, item)

    receipt = partner.receipt(done)
    with urllib.request.urlopen(receipt["url"]) as answer:
        found = answer.read()
    assert decrypt(found, done.saved["record_key"]) == item.payload
    assert receipt == {
        "key": done.saved["key"],
        "url": f"{partner.config['endpoint_url']}/health/{done.saved['key']}",
        "etag": hashlib.md5(found).hexdigest(),
        "sha256": hashlib.sha256(found).hexdigest(),
    }
    assert list(partner.refs(done)) == [("object_key", done.saved["key"])]


def test_an_object_name_tells_nothing(make_partner: Make) -> None:
    names = [make_partner().keys(make_item())["key"] for _ in range(5)]

    assert len(set(names)) == 5
    assert all(len(name) == 32 and int(name, 16) for name in names)


def test_check_ins_go_to_their_own_bucket_under_the_prefix(make_partner: Make, stored: Stored) -> None:
    partner = make_partner(prefix="union/{data_type}/", public_url="https://files.example.org/")

    done = run_steps(partner, make_item(data_type="checkin"))

    assert done.saved["key"].startswith("union/checkin/")
    assert f"checkin/{done.saved['key']}" in stored()
    assert partner.receipt(done)["url"] == f"https://files.example.org/checkin/{done.saved['key']}"


def test_a_type_without_a_bucket_is_blocked(make_partner: Make) -> None:
    with pytest.raises(BlockedError, match="^akave: keys: there is no bucket for records of type genome$"):
        make_partner().keys(make_item(data_type="genome"))


def test_however_often_it_is_sent_it_is_one_sha256(make_partner: Make, s3: Server) -> None:
    for kind in ("put_500", "put_429", "put_lost_response", "put_reset", "html_200"):
        s3.faults.arm(Fault(kind=kind))

    done = run_steps(make_partner(), make_item(), attempts=9)

    puts = [entry for entry in s3.log() if entry["key"] == done.saved["key"] and entry["method"] == "PUT"]
    assert len(puts) == 6
    assert {entry["sha256"] for entry in puts} == {done.saved["sha256"]}


def test_an_etag_of_other_bytes_needs_no_second_upload_where_ours_are_stored(make_partner: Make, s3: Server) -> None:
    s3.faults.arm(Fault(kind="wrong_etag"))
    partner = make_partner()

    done = run_steps(partner, make_item())

    puts = [entry for entry in s3.log() if entry["key"] == done.saved["key"] and entry["method"] == "PUT"]
    assert [entry["fault"] for entry in puts] == ["wrong_etag"]
    assert partner.verify(done).present is True


def test_an_endpoint_that_is_no_url_is_a_misconfiguration(make_partner: Make) -> None:
    with pytest.raises(MisconfiguredError, match="endpoint_url"):
        make_partner(endpoint_url="http://[::1").check()


def test_a_429_says_when_to_come_back(make_partner: Make, s3: Server) -> None:
    s3.faults.arm(Fault(kind="put_429", seconds=17))

    with pytest.raises(TransientError) as caught:
        run_steps(make_partner(), make_item())

    assert (caught.value.retry_after_s, caught.value.http_status) == (17, 429)


@pytest.mark.parametrize("kind", ["put_timeout", "one_byte_a_second"])
def test_an_answer_that_does_not_come_is_unknown(make_partner: Make, s3: Server, kind: str) -> None:
    s3.faults.arm(Fault(kind=kind, seconds=1))
    partner = make_partner(read_timeout_s="0.3", deadline_s="0.5")
    item = replace(make_item(), saved=partner.keys(make_item()))

    with pytest.raises(UnknownOutcome, match="akave: upload"):
        partner.upload(item)


def test_an_object_shown_late_is_waited_for(make_partner: Make, s3: Server) -> None:
    s3.faults.arm(Fault(kind="head_404", times=3, per_subject=3))
    waits: list[float] = []

    run_steps(make_partner(), make_item(), wait=waits.append)

    assert len(waits) == 3
    assert s3.faults.counts()["head_404"] >= 3


class TestALostObject:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def partner(self, make_partner: Make, clock: Clock) -> AkavePartner:
        return make_partner(clock=clock, grace_s="60")

    @pytest.fixture
    def lost(self, partner: AkavePartner, bucket_client: Any) -> Item:
        item = replace(make_item(), saved=partner.keys(make_item()))
        item = replace(item, saved={**item.saved, **partner.upload(item)})
        bucket_client.delete_object(Bucket="health", Key=item.saved["key"])
        return item

    def test_is_waited_for_until_the_grace_is_over(self, partner: AkavePartner, lost: Item, clock: Clock) -> None:
        clock.now += 59

        with pytest.raises(NotReady) as caught:
            partner.confirm(lost)

        assert (caught.value.after_s, caught.value.at_most_s) == (5.0, 60.0)

    @pytest.mark.parametrize(("grace_s", "after_s"), [("8", 2.0), ("0.4", 0.2)])
    def test_is_looked_for_sooner_where_the_grace_is_short(
        self, make_partner: Make, lost: Item, clock: Clock, grace_s: str, after_s: float
    ) -> None:
        with pytest.raises(NotReady) as caught:
            make_partner(clock=clock, grace_s=grace_s).confirm(lost)

        assert caught.value.after_s == after_s

    @pytest.mark.parametrize("age_s", [60, 119])
    def test_then_spends_attempts(self, partner: AkavePartner, lost: Item, clock: Clock, age_s: int) -> None:
        clock.now += age_s

        with pytest.raises(TransientError, match="is not there"):
            partner.confirm(lost)

    def test_then_is_uploaded_again(self, partner: AkavePartner, lost: Item, clock: Clock) -> None:
        clock.now += 120

        assert partner.confirm(lost) == Rewind(step="upload")
        again = {**lost.saved, **partner.upload(lost)}
        assert partner.confirm(replace(lost, saved=again)) == {}

    def test_of_another_size_is_an_error(
        self, partner: AkavePartner, lost: Item, clock: Clock, bucket_client: Any
    ) -> None:
        bucket_client.put_object(Bucket="health", Key=lost.saved["key"], Body=b"half")

        with pytest.raises(TransientError, match=r"holds other bytes \(4\) than were sent"):
            partner.confirm(lost)
        clock.now += 120
        assert partner.confirm(lost) == Rewind(step="upload")

    def test_of_the_same_size_with_other_bytes_is_an_error(
        self, partner: AkavePartner, lost: Item, clock: Clock, bucket_client: Any
    ) -> None:
        bucket_client.put_object(Bucket="health", Key=lost.saved["key"], Body=bytes(lost.saved["size"]))

        with pytest.raises(TransientError, match="holds other bytes"):
            partner.confirm(lost)
        clock.now += 120
        assert partner.confirm(lost) == Rewind(step="upload")

    def test_under_an_etag_of_the_storages_own_is_fetched_and_found(self, partner: AkavePartner, lost: Item) -> None:
        again = {**lost.saved, **partner.upload(lost), "etag": "another-way-to-count"}

        assert partner.confirm(replace(lost, saved=again)) == {}


def test_a_dropped_key_means_a_new_name_and_no_old_object(make_partner: Make, stored: Stored) -> None:
    partner = make_partner()
    done = run_steps(partner, make_item())
    without = {name: value for name, value in done.saved.items() if name != "key"}

    again = run_steps(partner, replace(make_item(), saved=without))

    assert again.saved["key"] != done.saved["key"]
    assert (again.saved["record_key"], again.saved["sha256"]) == (done.saved["record_key"], done.saved["sha256"])
    assert f"health/{again.saved['key']}" in stored()
    assert f"health/{done.saved['key']}" not in stored()


def test_what_was_drawn_once_stays_however_often_it_is_drawn(make_partner: Make) -> None:
    partner = make_partner()
    drawn = partner.keys(make_item())

    assert partner.keys(make_item(saved=drawn)) == drawn


def test_an_object_that_the_old_service_made_is_never_overwritten(make_partner: Make) -> None:
    saved = make_partner().keys(make_item(saved={"key": "2021-01-01T00:00:00.json", "url": "https://old"}))

    assert saved["names"] == [saved["key"]]
    assert saved["key"] != "2021-01-01T00:00:00.json"


def test_taking_back_deletes_every_name(make_partner: Make, stored: Stored) -> None:
    partner = make_partner()
    item = replace(make_item(), saved=partner.keys(make_item()))
    first = {**item.saved, **partner.upload(item)}
    renamed = replace(item, saved={**first, "key": None})
    renamed = replace(item, saved={**first, **partner.keys(renamed)})
    partner.upload(renamed)

    gone = run_steps(partner, replace(renamed, kind=REVOKE, payload=None))

    assert len(renamed.saved["names"]) == 2
    assert not [name for name in renamed.saved["names"] if f"health/{name}" in stored()]
    assert "record_key" not in gone.saved


def test_taking_back_what_was_never_uploaded_is_nothing(make_partner: Make) -> None:
    assert run_steps(make_partner(), make_item(kind=REVOKE)).saved == {}


def test_an_object_still_shown_after_its_deletion_is_waited_for(make_partner: Make) -> None:
    partner = make_partner()
    done = run_steps(partner, make_item())

    with pytest.raises(NotReady, match="still shows") as caught:
        partner.confirm_delete(replace(done, kind=REVOKE))

    assert (caught.value.after_s, caught.value.at_most_s) == (5.0, 60.0)
    with pytest.raises(NotReady) as caught:
        make_partner(grace_s="8").confirm_delete(replace(done, kind=REVOKE))
    assert caught.value.after_s == 2.0


def test_an_object_whose_names_were_not_noted_is_taken_back_by_its_name(make_partner: Make, stored: Stored) -> None:
    partner = make_partner()
    done = run_steps(partner, make_item())
    saved = {name: value for name, value in done.saved.items() if name != "names"}

    assert partner.confirm(replace(done, saved=saved)) == {}
    partner.delete(replace(done, saved=saved))

    assert f"health/{done.saved['key']}" not in stored()


@pytest.mark.parametrize("step", ["check", "upload", "confirm", "delete", "confirm_delete"])
def test_an_error_names_its_step(make_partner: Make, step: str) -> None:
    done = run_steps(make_partner(), make_item())
    away = make_partner(endpoint_url="http://127.0.0.1:9")

    with pytest.raises(TransientError, match=f"^akave: {step}: "):
        away.check() if step == "check" else getattr(away, step)(done)


def test_check_names_both_buckets(make_partner: Make) -> None:
    assert make_partner().check() == (
        "bucket checkin is there and open to this access key",
        "bucket health is there and open to this access key",
    )


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"secret_access_key": "wrong"}, "answered 403"),
        ({"access_key_id": "AKIANOBODY"}, "answered 403"),
        ({"bucket_health": "nowhere"}, "bucket nowhere does not exist"),
    ],
)
def test_check_names_what_is_wrong(make_partner: Make, change: dict[str, str], remedy: str) -> None:
    with pytest.raises(MisconfiguredError, match=remedy):
        make_partner(**change).check()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("endpoint_url", "o3-rc2.akave.xyz"),
        ("endpoint_url", "https://user:pass@host"),
        ("bucket_health", "Big_Bucket"),
        ("prefix", "/abs/"),
        ("prefix", "a/../b"),
        ("prefix", "{user}/"),
        ("public_url", "https://host/?presigned"),
        ("grace_s", "soon"),
    ],
)
def test_a_bad_option_is_refused_by_name(make_partner: Make, option: str, value: str) -> None:
    with pytest.raises(MisconfiguredError, match=option):
        make_partner(**{option: value})


def test_a_refused_secret_is_not_shown(make_partner: Make) -> None:
    with pytest.raises(MisconfiguredError) as caught:
        make_partner(secret_access_key="two words")

    assert "two words" not in caught.value.message


def test_threads_share_one_adapter(make_partner: Make, stored: Stored) -> None:
    partner, before = make_partner(), len(stored())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: run_steps(partner, make_item(number)), range(16)))

    assert len(stored()) == before + 16


def test_upload_without_payload_is_a_bug(make_partner: Make) -> None:
    with pytest.raises(ValueError, match="payload"):
        make_partner().upload(make_item(payload=None))
