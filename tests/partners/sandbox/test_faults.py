"""Each server commits the faults that it is armed with, over real sockets, and counts them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
import requests
from botocore.exceptions import ClientError, ConnectionClosedError
from standardwebhooks import Webhook

from partners.sandbox.faults import Fault, Faults

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def put(client, key="k", body=b"ciphertext"):
    return client.put_object(Bucket="health", Key=key, Body=body)


def stored(server, key="k"):
    answer = requests.get(f"{server.url}/health/{key}", timeout=5)
    return answer.content if answer.status_code == 200 else None


@pytest.mark.parametrize(
    ("kind", "status", "code", "retry_after"),
    [
        ("put_429", 429, "TooManyRequests", "2"),
        ("put_500", 500, "InternalError", None),
        ("put_503_slowdown", 503, "SlowDown", None),
    ],
)
def test_a_put_is_answered_with_an_error_and_stores_nothing(s3, client_of, kind, status, code, retry_after):
    s3.faults.arm(Fault(kind=kind, seconds=1.5))

    with pytest.raises(ClientError) as caught:
        put(client_of(s3))

    answer = caught.value.response
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (status, code)
    assert answer["ResponseMetadata"]["HTTPHeaders"].get("retry-after") == retry_after
    assert stored(s3) is None
    assert (s3.log()[0]["fault"], s3.log()[0]["status"]) == (kind, status)


def test_a_put_that_times_out_is_held_and_not_stored(s3, client_of):
    s3.faults.arm(Fault(kind="put_timeout", seconds=0.01))

    with pytest.raises(ConnectionClosedError):
        put(client_of(s3))

    assert stored(s3) is None
    assert (s3.log()[0]["fault"], s3.log()[0]["status"], s3.log()[0]["held"]) == ("put_timeout", None, False)


def test_a_put_whose_answer_is_lost_is_stored(s3, client_of):
    s3.faults.arm(Fault(kind="put_lost_response"))

    with pytest.raises(ConnectionClosedError):
        put(client_of(s3))

    assert stored(s3) == b"ciphertext"
    assert (s3.log()[0]["fault"], s3.log()[0]["status"]) == ("put_lost_response", None)


def test_a_put_on_hold_is_stored_and_seen_in_the_log_while_it_waits(s3, client_of, aside, wait_until):
    s3.faults.arm(Fault(kind="put_hold", seconds=3600))
    answer = aside.submit(put, client_of(s3))

    [entry] = wait_until(lambda: [entry for entry in s3.log() if entry["held"]])

    assert (entry["key"], entry["fault"], entry["status"]) == ("k", "put_hold", None)
    assert stored(s3) == b"ciphertext"
    s3.stop()
    assert answer.result(10)["ETag"] == f'"{hashlib.md5(b"ciphertext").hexdigest()}"'


def test_a_put_that_is_reset_gets_an_rst(s3, client_of):
    s3.faults.arm(Fault(kind="put_reset"))

    with pytest.raises(ConnectionClosedError) as caught:
        put(client_of(s3))

    assert "Connection reset by peer" in repr(caught.value.__context__)
    assert stored(s3) is None


def test_an_html_page_stands_where_the_answer_to_a_put_should_be(s3, client_of):
    s3.faults.arm(Fault(kind="html_200", match="^k$"))
    answers = []
    client = client_of(s3)
    client.meta.events.register("response-received.s3.PutObject", lambda **seen: answers.append(seen["response_dict"]))

    with pytest.raises(ClientError):
        put(client)

    assert (answers[0]["status_code"], answers[0]["body"][:15]) == (200, b"<!doctype html>")
    assert stored(s3) is None


def test_an_html_page_stands_where_an_object_should_be(s3, client_of):
    put(client_of(s3))
    s3.faults.arm(Fault(kind="html_200"))

    assert stored(s3)[:15] == b"<!doctype html>"
    assert stored(s3) == b"ciphertext"


def test_a_wrong_etag_names_another_object_than_the_one_stored(s3, client_of):
    s3.faults.arm(Fault(kind="wrong_etag"))

    answer = put(client_of(s3))

    assert answer["ETag"] == f'"{hashlib.md5(b"another object").hexdigest()}"'
    assert stored(s3) == b"ciphertext"


@pytest.mark.parametrize(("sent", "kept"), [(b"ciphertext", b"ciphertexu"), (b"", b"\x01")])
def test_a_flipped_byte_is_stored_behind_the_right_etag(s3, client_of, sent, kept):
    s3.faults.arm(Fault(kind="flip_byte"))

    answer = put(client_of(s3), body=sent)

    assert answer["ETag"] == f'"{hashlib.md5(sent).hexdigest()}"'
    assert stored(s3) == kept
    assert s3.log()[0]["sha256"] == hashlib.sha256(sent).hexdigest()


def test_a_dripping_answer_comes_whole_one_byte_at_a_time(s3, client_of):
    put(client_of(s3))
    s3.faults.arm(Fault(kind="one_byte_a_second", seconds=0.0001))

    assert stored(s3) == b"ciphertext"


def test_a_dripping_answer_ends_with_the_server(s3, client_of, aside, wait_until):
    put(client_of(s3))
    s3.faults.arm(Fault(kind="one_byte_a_second"))
    answer = aside.submit(stored, s3)
    wait_until(lambda: s3.faults.counts()["one_byte_a_second"])

    s3.stop()

    assert isinstance(answer.exception(10), requests.ConnectionError)


def test_a_read_right_after_the_write_may_find_nothing_yet(s3, client_of):
    client = client_of(s3)
    put(client)
    s3.faults.arm(Fault(kind="get_404"))
    s3.faults.arm(Fault(kind="head_404"))

    assert requests.get(f"{s3.url}/health/k", timeout=5).status_code == 404
    with pytest.raises(ClientError, match="404"):
        client.head_object(Bucket="health", Key="k")
    assert stored(s3) == b"ciphertext"
    assert client.head_object(Bucket="health", Key="k")["ContentLength"] == 10


def test_a_fault_meets_only_the_keys_that_match(s3, client_of):
    client = client_of(s3)
    s3.faults.arm(Fault(kind="put_500", match="^bad"))

    put(client, key="good")

    with pytest.raises(ClientError):
        put(client, key="bad")
    assert s3.faults.counts() == {"put_500": 1}


def test_a_fault_meets_one_key_no_more_often_than_it_was_told(s3, client_of):
    client = client_of(s3)
    s3.faults.arm(Fault(kind="put_500", times=2))
    with pytest.raises(ClientError):
        put(client, key="one")

    put(client, key="one")

    with pytest.raises(ClientError):
        put(client, key="two")
    assert s3.faults.counts() == {"put_500": 2}


def test_faults_are_armed_counted_and_disarmed_over_http(s3, client_of):
    control = f"{s3.url}/_sandbox/faults"

    assert requests.post(control, json={"kind": "put_500", "times": 2, "per_subject": 2}, timeout=5).json() == {
        "put_500": 0
    }
    with pytest.raises(ClientError):
        put(client_of(s3))
    assert requests.get(control, timeout=5).json() == {"put_500": 1}
    assert requests.delete(control, timeout=5).json() == {"put_500": 1}
    put(client_of(s3))
    assert requests.get(control, timeout=5).json() == {"put_500": 1}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{", "JSON object"),
        ("[1]", "JSON object"),
        ('{"kind": "put_500", "colour": 1}', "colour"),
        ('{"kind": "melt"}', "no fault 'melt' here, only flip_byte, get_404"),
    ],
)
def test_a_fault_that_cannot_be_armed_is_refused_with_the_reason(s3, body, said):
    answer = requests.post(f"{s3.url}/_sandbox/faults", body, timeout=5)

    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_an_unknown_control_path_names_the_known_ones(s3):
    answer = requests.get(f"{s3.url}/_sandbox/nothing", timeout=5)

    assert (answer.status_code, answer.json()["error"]) == (404, "GET one of faults, log; POST or DELETE faults")


def deliver(server):
    at = datetime.now(tz=UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_1", at, "{}"),
    }
    return requests.post(f"{server.url}/hook", "{}", headers=headers, timeout=5, allow_redirects=False)


@pytest.mark.parametrize(
    ("kind", "status", "headers"),
    [
        ("hook_429", 429, {"Retry-After": "2"}),
        ("hook_500", 500, {}),
        ("hook_410", 410, {}),
        ("hook_redirect", 307, {"Location": "http://169.254.169.254/latest/meta-data/"}),
        ("hook_html_200", 200, {"Content-Type": "text/html; charset=utf-8"}),
    ],
)
def test_a_delivery_is_answered_with_the_fault_and_not_taken_in(receiver, kind, status, headers):
    receiver.faults.arm(Fault(kind=kind, seconds=2))

    answer = deliver(receiver)

    assert answer.status_code == status
    assert headers.items() <= dict(answer.headers).items()
    assert receiver.view("received") == {}
    assert (receiver.log()[0]["fault"], receiver.log()[0]["status"]) == (kind, status)
    assert deliver(receiver).status_code == 204


def test_a_delivery_that_times_out_is_not_taken_in(receiver):
    receiver.faults.arm(Fault(kind="hook_timeout", seconds=0.01))

    with pytest.raises(requests.ConnectionError):
        deliver(receiver)

    assert receiver.view("received") == {}


def test_a_delivery_whose_answer_is_lost_is_taken_in(receiver):
    receiver.faults.arm(Fault(kind="hook_lost_response"))

    with pytest.raises(requests.ConnectionError):
        deliver(receiver)

    assert receiver.view("received") == {"msg_1": ["{}"]}


def test_a_fault_that_was_let_go_leaves_no_count_to_the_next() -> None:
    faults = Faults()
    for _ in range(50):  # sooner or later the next one stands where the one before stood
        faults.arm(Fault(kind="put_500", times=1, skip=1))

        assert faults.take(["put_500"], "a") is None
        assert faults.take(["put_500"], "a") is not None
        faults.disarm()

    assert faults.counts() == {"put_500": 50}
