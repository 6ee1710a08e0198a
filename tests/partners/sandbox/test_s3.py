"""The sandbox's S3 stores and serves like S3, lets anyone get and nobody else list, and logs every object request."""

from __future__ import annotations

import hashlib

import pytest
import requests
from botocore.exceptions import ClientError

from partners.sandbox.s3 import start_s3


def error_code(caught: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def test_an_object_put_is_the_object_got(s3, client_of):
    client = client_of(s3)

    answer = client.put_object(Bucket="health", Key="a/b ü+~=", Body=b"ciphertext")

    assert answer["ETag"] == f'"{hashlib.md5(b"ciphertext").hexdigest()}"'
    assert client.get_object(Bucket="health", Key="a/b ü+~=")["Body"].read() == b"ciphertext"
    assert client.head_object(Bucket="health", Key="a/b ü+~=")["ContentLength"] == 10


def test_both_buckets_are_there_and_others_are_not(s3, client_of):
    client = client_of(s3)

    assert {bucket["Name"] for bucket in client.list_buckets()["Buckets"]} == {"checkin", "health"}
    with pytest.raises(ClientError) as caught:
        client.put_object(Bucket="elsewhere", Key="k", Body=b"x")
    assert error_code(caught) == (404, "NoSuchBucket")


def test_the_owner_lists_and_deletes(s3, client_of):
    client = client_of(s3)
    client.put_object(Bucket="health", Key="k", Body=b"x")

    assert [found["Key"] for found in client.list_objects_v2(Bucket="health")["Contents"]] == ["k"]

    client.delete_object(Bucket="health", Key="k")

    assert "Contents" not in client.list_objects_v2(Bucket="health")


def test_anyone_gets_an_object_whose_name_he_knows(s3, client_of):
    client_of(s3).put_object(Bucket="health", Key="k", Body=b"ciphertext")

    got, head = requests.get(f"{s3.url}/health/k", timeout=5), requests.head(f"{s3.url}/health/k", timeout=5)

    assert (got.status_code, got.content) == (200, b"ciphertext")
    assert (head.status_code, head.headers["Content-Length"]) == (200, "10")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/health"),
        ("GET", "/health/"),
        ("GET", "/health?list-type=2"),
        ("GET", "/health/k?acl"),
        ("PUT", "/health/k"),
        ("DELETE", "/health/k"),
        ("POST", "/health?delete"),
    ],
)
def test_without_credentials_everything_else_is_denied(s3, client_of, method, path):
    client_of(s3).put_object(Bucket="health", Key="k", Body=b"ciphertext")

    answer = requests.request(method, s3.url + path, timeout=5)

    assert answer.status_code == 403
    assert "<Code>AccessDenied</Code>" in answer.text
    assert requests.get(f"{s3.url}/health/k", timeout=5).content == b"ciphertext"


def test_a_foreign_access_key_is_refused_as_s3_does(s3, client_of):
    with pytest.raises(ClientError) as caught:
        client_of(s3, key="AKSOMEONE").put_object(Bucket="health", Key="k", Body=b"x")

    assert error_code(caught) == (403, "InvalidAccessKeyId")
    assert s3.log()[0]["status"] == 403


def test_a_wrong_secret_is_refused_as_s3_does(s3, client_of):
    with pytest.raises(ClientError) as caught:
        client_of(s3, secret="wrong").list_objects_v2(Bucket="health")

    assert error_code(caught) == (403, "SignatureDoesNotMatch")


def test_a_body_that_is_not_the_signed_one_is_refused(s3, client_of):
    signed = {}
    client = client_of(s3)
    client.meta.events.register("before-send.s3.PutObject", lambda request, **_: signed.update(request.headers))
    client.put_object(Bucket="health", Key="k", Body=b"signed")

    answer = requests.put(f"{s3.url}/health/k", data=b"forged", headers={**signed, "Expect": ""}, timeout=5)

    assert (answer.status_code, "XAmzContentSHA256Mismatch" in answer.text) == (400, True)


def test_a_chunked_upload_with_a_trailer_is_not_implemented(s3, client_of):
    client = client_of(s3)

    def add_trailer(request, **_):
        request.headers["X-Amz-Trailer"] = "x-amz-checksum-crc32"

    client.meta.events.register("before-sign.s3.PutObject", add_trailer)

    with pytest.raises(ClientError) as caught:
        client.put_object(Bucket="health", Key="k", Body=b"x")
    assert error_code(caught) == (501, "NotImplemented")


@pytest.mark.parametrize(("expires_s", "status"), [(60, 200), (-60, 403)])
def test_a_presigned_url_serves_until_it_expires(s3, client_of, expires_s, status):
    client = client_of(s3)
    client.put_object(Bucket="health", Key="k", Body=b"x")

    url = client.generate_presigned_url("get_object", Params={"Bucket": "health", "Key": "k"}, ExpiresIn=expires_s)

    assert requests.get(url, timeout=5).status_code == status


def test_a_presigned_url_that_was_changed_is_refused(s3, client_of):
    url = client_of(s3).generate_presigned_url("get_object", Params={"Bucket": "health", "Key": "k"})

    answer = requests.get(url.replace("/health/k?", "/health/other?"), timeout=5)

    assert (answer.status_code, "SignatureDoesNotMatch" in answer.text) == (403, True)


def test_the_log_tells_each_object_request_with_the_hash_of_what_went_over_the_wire(s3, client_of):
    client = client_of(s3)
    client.put_object(Bucket="health", Key="k", Body=b"ciphertext")
    client.head_object(Bucket="health", Key="k")
    requests.get(f"{s3.url}/health/k", timeout=5)
    client.list_objects_v2(Bucket="health")

    logged = requests.get(f"{s3.url}/_sandbox/log", timeout=5).json()

    assert logged == s3.log()
    assert [(entry["method"], entry["size"], entry["status"]) for entry in logged] == [
        ("PUT", 10, 200),
        ("HEAD", 0, 200),
        ("GET", 10, 200),
    ]
    assert {entry["sha256"] for entry in logged if entry["size"]} == {hashlib.sha256(b"ciphertext").hexdigest()}
    assert {(entry["bucket"], entry["key"], entry["fault"], entry["held"]) for entry in logged} == {
        ("health", "k", "", False)
    }
    assert logged[0]["at"] <= logged[1]["at"] <= logged[2]["at"]


def test_servers_of_one_process_share_objects_until_the_last_one_stops(client_of):
    one = start_s3(access_key_id="AKSANDBOX", secret="sandbox-secret")
    two = start_s3(access_key_id="AKSANDBOX", secret="sandbox-secret")
    client_of(one).put_object(Bucket="health", Key="k", Body=b"x")
    one.stop()

    assert requests.get(f"{two.url}/health/k", timeout=5).content == b"x"

    two.stop()
    three = start_s3(access_key_id="AKSANDBOX", secret="sandbox-secret")
    assert requests.get(f"{three.url}/health/k", timeout=5).status_code == 404
    three.stop()
