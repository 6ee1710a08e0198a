"""The webhook receiver takes in what is signed and shows deliveries made twice."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
import requests
from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def deliver(receiver):
    """Return a function that delivers a body as Standard Webhooks prescribes."""

    def send(webhook_id="msg_1", body="{}", **headers):
        at = datetime.now(tz=UTC)
        signed = {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(SECRET).sign(webhook_id, at, body),
        }
        return requests.post(
            f"{receiver.url}/hook", body, headers={**signed, **headers}, timeout=5, allow_redirects=False
        )

    return send


def received(receiver):
    return requests.get(f"{receiver.url}/_sandbox/received", timeout=5).json()


def test_a_signed_delivery_is_taken_in(receiver, deliver):
    assert deliver(body='{"a":1}').status_code == 204

    assert received(receiver) == {"msg_1": ['{"a":1}']}
    assert receiver.view("received") == {"msg_1": ['{"a":1}']}


def test_a_delivery_made_twice_is_seen_twice_under_one_id(receiver, deliver):
    deliver(body="1")
    deliver(body="1")

    assert received(receiver) == {"msg_1": ["1", "1"]}


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "nonsense"},
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": "1"},
        {"webhook-signature": ""},
    ],
)
def test_a_delivery_whose_signature_is_not_ours_is_refused(receiver, deliver, headers):
    assert deliver(**headers).status_code == 401

    assert received(receiver) == {}


def test_only_post_delivers(receiver):
    assert requests.get(f"{receiver.url}/hook", timeout=5).status_code == 405


def test_the_log_tells_each_delivery(receiver, deliver):
    deliver(body="{}")

    [entry] = receiver.log()
    del entry["at"]
    assert entry == {
        "method": "POST",
        "path": "/hook",
        "id": "msg_1",
        "sha256": hashlib.sha256(b"{}").hexdigest(),
        "size": 2,
        "fault": "",
        "status": 204,
        "held": False,
    }
