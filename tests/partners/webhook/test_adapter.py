"""The webhook partner against the sandbox's receiver, which checks signatures, and against rude servers."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from standardwebhooks import Webhook

from partners.base import REVOKE, Item
from partners.errors import MisconfiguredError, PartnerError, PermanentError, TransientError
from partners.sandbox.control import Server
from partners.sandbox.faults import Fault
from partners.sandbox.receiver import start_receiver
from partners.testing import PartnerContract, run_steps
from partners.webhook.adapter import WebhookPartner
from tests.partners.wire import answer, failure

SECRET = "whsec_c2FuZGJveC1zZWNyZXQtb2YtMjQtYnl0ZXM="
OLD_SECRET = "whsec_" + "b" * 32
RECORD_ID = "01a1f7dd-a320-7000-8000-00000000000"  # UUIDv7 of 2026-11-20 07:31, its last digit left out


def make_item(number: int = 0, **fields: Any) -> Item:
    return Item(
        record_id=f"{RECORD_ID}{number}",
        partner="hook",
        user_hash="user-1",
        data_type="health",
        data_id=f"day-{number}",
        **{"payload": b'{"steps": 9417}', **fields},
    )


@pytest.fixture
def receiver() -> Iterator[Server]:
    server = start_receiver(secret=SECRET)
    yield server
    server.stop()


@pytest.fixture
def make_partner(receiver: Server) -> Iterator[Any]:
    made: list[WebhookPartner] = []

    def make(**options: str) -> WebhookPartner:
        given = {"url": f"{receiver.url}/hook", "secret": SECRET, "allow_private": "yes", "timeout_s": "1", **options}
        made.append(WebhookPartner("hook", given))
        return made[-1]

    yield make
    for partner in made:
        partner.close()


class TestWebhookContract(PartnerContract):
    """A delivery and its taking back are two messages, each known by its webhook-id."""

    effects_after_revoke: ClassVar[int] = 2

    @pytest.fixture(autouse=True)
    def _server(self, receiver: Server, make_partner: Any) -> None:
        self.receiver, self._make = receiver, make_partner

    def make_partner(self) -> WebhookPartner:
        partner: WebhookPartner = self._make()
        return partner

    def make_item(self, number: int = 0) -> Item:
        return make_item(number)

    def remote_effects(self) -> int:
        return len([key for key in self.receiver.view("received") if not key.startswith("msg_ping")])

    def break_next(self, kind: str) -> None:
        self.receiver.faults.arm(Fault(kind={"unavailable": "hook_500"}.get(kind, "hook_lost_response")))


def received(receiver: Server) -> dict[str, list[str]]:
    found: dict[str, list[str]] = receiver.view("received")
    return found


# What a receiver gets


def test_a_record_arrives_signed_with_its_payload_byte_for_byte(receiver, make_partner):
    payload = '{ "name":"Zoë",  "weight": 61.50, "weight": 1e400 }\n'.encode()
    item = make_item(payload=payload, schema_name="omh:1", recorded_at=dt.datetime(2026, 11, 20, 7, 30, tzinfo=dt.UTC))

    done = run_steps(make_partner(), item)

    body = (
        '{"type":"record.created","timestamp":"2026-11-20T07:31:00.000+00:00","data":{'
        f'"record_id":"{item.record_id}","user_hash":"user-1","data_type":"health","data_id":"day-0",'
        '"schema":"omh:1","recorded_at":"2026-11-20T07:30:00+00:00",'
        f'"payload":{payload.decode().strip()}}}}}'
    )
    assert received(receiver) == {f"msg_{item.once_id}": [body]}
    assert done.saved == {"webhook_id": f"msg_{item.once_id}", "status": 204}


@pytest.mark.parametrize(
    "payload", [b'"7"', b"7", b"null", b"[1, 2]", b'{"a": {"b": "}}"}}', '"\N{SNOWMAN}"'.encode(), b'  "x"\n']
)
def test_any_json_value_is_a_payload(receiver, make_partner, payload):
    run_steps(make_partner(), make_item(payload=payload))

    ((body,),) = received(receiver).values()
    assert json.loads(body)["data"]["payload"] == json.loads(payload)


@pytest.mark.parametrize(
    "payload", [b"", b"\xff\x00", b"{", b'{"a": NaN}', b"1 2", b"\xef\xbb\xbf1", '"x"'.encode("utf-16"), b"[" * 999_999]
)
def test_what_is_no_json_arrives_as_base64(receiver, make_partner, payload):
    run_steps(make_partner(), make_item(payload=payload))

    ((body,),) = received(receiver).values()
    data = json.loads(body)["data"]
    assert "payload" not in data
    assert base64.b64decode(data["payload_base64"]) == payload


def test_taking_back_is_a_message_of_its_own_without_payload(receiver, make_partner):
    item = make_item(kind=REVOKE, payload=None)

    run_steps(make_partner(), item)

    body = (
        f'{{"type":"record.revoked","data":{{"record_id":"{item.record_id}",'
        '"user_hash":"user-1","data_type":"health","data_id":"day-0"}}'
    )
    assert received(receiver) == {f"msg_{item.once_id}": [body]}
    assert item.once_id != make_item().once_id


def test_every_attempt_sends_the_same_bytes_under_the_same_id(receiver, make_partner):
    receiver.faults.arm(Fault(kind="hook_lost_response", times=2, per_subject=2))

    run_steps(make_partner(), make_item(), attempts=3)

    ((first, second, third),) = received(receiver).values()
    assert first == second == third


@pytest.mark.parametrize(
    ("record_id", "recorded_at", "timestamp"),
    [
        ("record-1", dt.datetime(2026, 11, 20, tzinfo=dt.UTC), "2026-11-20T00:00:00.000+00:00"),
        ("6f1c2ed4-0f2c-4c36-9b8e-0f9f4e1a2b3c", None, None),
    ],
)
def test_the_time_of_an_event_does_not_depend_on_the_attempt(receiver, make_partner, record_id, recorded_at, timestamp):
    run_steps(make_partner(), replace(make_item(), record_id=record_id, recorded_at=recorded_at))

    ((body,),) = received(receiver).values()
    assert json.loads(body).get("timestamp") == timestamp


def test_a_receiver_may_go_by_the_old_secret_meanwhile(serve, make_partner):
    wire = serve(answer(200, b"ok"))

    run_steps(make_partner(url=wire.url, old_secret=OLD_SECRET), make_item())

    head, _, body = wire.requests[0].partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    for secret in (SECRET, OLD_SECRET):
        assert Webhook(secret).verify(body, headers)["type"] == "record.created"


# What a receiver may answer


@pytest.mark.parametrize(
    ("raw", "kind", "cause"),
    [
        (answer(400), PermanentError, "answered 400; the same request will be refused again"),
        (answer(401), MisconfiguredError, "answered 401; check the credentials and what they may do"),
        (answer(410), MisconfiguredError, "answered 410: this address is gone for good; ask for the new one"),
        (answer(500), TransientError, "answered 500"),
        (
            answer(200, b"<!doctype html>sign in"),
            TransientError,
            "answered a web page; a proxy or login page stands before the receiver",
        ),
        (
            answer(307, Location="http://169.254.169.254/latest?x=1"),
            TransientError,
            "answered 307, a redirect to http://169.254.169.254/latest, which is not followed; correct the URL",
        ),
    ],
)
def test_an_answer_is_a_decision(serve, make_partner, raw, kind, cause):
    partner = make_partner(url=serve(raw).url)

    error = failure(lambda: run_steps(partner, make_item()))

    assert (type(error), error.message) == (kind, f"hook: deliver: {cause}")


def test_retry_after_is_handed_on(receiver, make_partner):
    receiver.faults.arm(Fault(kind="hook_429", seconds=7))

    error = failure(lambda: run_steps(make_partner(), make_item()))

    assert error.retry_after_s == 7.0


def test_a_receiver_that_does_not_answer_is_tried_again(receiver, make_partner):
    receiver.faults.arm(Fault(kind="hook_timeout", seconds=30))

    error = failure(lambda: run_steps(make_partner(), make_item()))

    assert (type(error), error.message) == (TransientError, "hook: deliver: 127.0.0.1 did not answer in time")


def test_a_long_answer_to_a_delivery_that_was_taken_is_ignored(serve, make_partner):
    wire = serve(answer(200, b"thanks " * 100_000))

    done = run_steps(make_partner(url=wire.url, max_answer_bytes="100"), make_item())

    assert done.saved["status"] == 200
    assert len(wire.requests) == 1


# Configuration


def test_check_sends_a_signed_ping(receiver, make_partner):
    assert make_partner().check() == ("the receiver answered a signed ping with 204",)

    ((webhook_id, bodies),) = received(receiver).items()
    assert webhook_id.startswith("msg_ping_")
    assert bodies == ['{"type":"ping","data":{}}']


def test_check_says_that_a_receiver_which_refuses_the_ping_is_misconfigured(serve, make_partner):
    error = failure(make_partner(url=serve(answer(404)).url).check)

    assert type(error) is MisconfiguredError
    assert error.message == "hook: check: answered 404; the same request will be refused again"


def test_a_wrong_secret_is_noticed(make_partner):
    error = failure(make_partner(secret=OLD_SECRET).check)

    assert (type(error), error.http_status) == (MisconfiguredError, 401)


def test_a_private_address_is_refused_unless_allowed(receiver):
    port = receiver.url.rpartition(":")[2]
    partner = WebhookPartner("hook", {"url": f"https://localhost:{port}/hook", "secret": SECRET})

    error = failure(lambda: run_steps(partner, make_item()))

    assert type(error) is MisconfiguredError
    assert error.message.startswith("hook: deliver: localhost leads into a private network, which is refused")
    assert receiver.log() == []


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"url": "http://clinic.test/"}, "url must begin with https:// unless allow_private is yes"),
        ({"url": "https://user:pw@clinic.test/"}, "url cannot be"),
        ({"url": "clinic.test"}, "url cannot be 'clinic.test'; it should hold the receiver's URL, https://host/path"),
        ({"secret": "whsec_" + "a" * 33}, "secret is not base64 after whsec_"),
        ({"secret": "hunter2"}, "secret cannot be its value"),
        ({"timeout_s": "0"}, "timeout_s cannot be '0'; it should hold seconds, 1 to 25"),
        ({"timeout_s": "25.5"}, "timeout_s cannot be '25.5'"),
        ({"allow_private": "true"}, "allow_private cannot be 'true'"),
    ],
)
def test_wrong_options_stop_at_start_and_show_no_secret(options, cause):
    with pytest.raises(PartnerError) as caught:
        WebhookPartner("hook", {"url": "https://clinic.test/hook", "secret": SECRET, **options})

    assert type(caught.value) is MisconfiguredError
    assert caught.value.message.startswith(f"hook: {cause}")
    assert options.get("secret", SECRET) not in caught.value.message
