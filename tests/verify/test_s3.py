"""Listing and reading of an S3 that checks signatures, and what its log says."""

import json
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from verify.s3 import S3, Credentials, Log, ObjectId, Put, read_log
from verify.wire import UnreachableError


def signed(wire, server, secret="secret"):
    return S3(wire, server.url, Credentials("id", secret, "us-south-1"))


def test_a_signed_listing_gives_every_key(wire, server, put):
    for key in ("a", "b/c d", "ä+&<"):
        put(f"health/{quote(key)}")

    assert signed(wire, server).list_objects("health") == [
        ObjectId("health", "a"),
        ObjectId("health", "b/c d"),
        ObjectId("health", "ä+&<"),
    ]
    assert signed(wire, server).list_objects("checkin") == []


def test_a_listing_goes_on_to_the_last_page(wire, told):
    pages = {
        "": b"<r><Contents><Key>a</Key></Contents><NextContinuationToken>t/+=</NextContinuationToken></r>",
        "t/+=": b'<r xmlns="http://x"><Contents><Key>b%20c</Key></Contents></r>',
    }

    def answer(handler, body):
        return 200, {}, pages[parse_qs(urlsplit(handler.path).query).get("continuation-token", [""])[0]]

    assert S3(wire, told(answer), None).list_objects("b") == [ObjectId("b", "a"), ObjectId("b", "b c")]


def test_a_bucket_that_is_not_there_is_none(wire, server):
    assert signed(wire, server).list_objects("nowhere") is None


def test_a_wrong_secret_is_said(wire, server):
    with pytest.raises(UnreachableError, match="listing health was answered 403: check the S3 access key"):
        signed(wire, server, secret="wrong").list_objects("health")


def test_a_listing_that_is_no_xml_is_said(wire, told):
    url = told(lambda handler, body: (200, {}, b"{}"))

    with pytest.raises(UnreachableError, match="listing is not XML"):
        S3(wire, url, None).list_objects("b")


def test_anybody_reads_an_object_but_nobody_lists(wire, server, put):
    put("health/a%20b", b"bytes")
    s3 = signed(wire, server)

    assert s3.read(s3.url_of(ObjectId("health", "a b"))).body == b"bytes"
    assert not s3.is_listable_by_anybody("health")


def test_a_bucket_that_anybody_may_list_is_seen(wire, told):
    url = told(lambda handler, body: (200, {}, b"<r/>"))

    assert S3(wire, url, Credentials("id", "secret", "r")).is_listable_by_anybody("b")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://s3/base/b/k/l", ObjectId("b", "k/l")),
        ("HTTP://S3/base/b/%6B?X-Amz-Signature=1", ObjectId("b", "k")),
        ("http://s3/b/k", None),
        ("http://s3/base/b", None),
        ("http://other/base/b/k", None),
        ("https://s3/base/b/k", None),
        ("", None),
    ],
)
def test_a_url_names_an_object_however_it_is_spelled(wire, url, place):
    assert S3(wire, "http://inside:9000", None, "http://s3/base/").locate(url) == place


def test_the_log_holds_every_upload_but_those_of_strangers(wire, server, put):
    put("health/a", b"x")
    put("health/a", b"x")
    wire.request("PUT", f"{server.url}/health/a", {}, b"foreign")
    sha256 = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"

    log = read_log(wire, f"{server.url}/_sandbox/log")

    assert log == Log((Put(ObjectId("health", "a"), sha256, 200),) * 2, frozenset())


def test_the_log_knows_what_was_deleted(wire, told):
    entries = [
        {"method": "DELETE", "bucket": "b", "key": "k", "sha256": "", "status": 204},
        {"method": "DELETE", "bucket": "b", "key": "l", "sha256": "", "status": None},
        {"method": "GET", "bucket": "b", "key": "k", "sha256": "", "status": 200},
    ]
    url = told(lambda handler, body: (200, {}, json.dumps(entries).encode()))

    assert read_log(wire, url) == Log((), frozenset({ObjectId("b", "k")}))


@pytest.mark.parametrize("content", [b"<html>", b'[{"method": "PUT"}]', b"3", b'["x"]'])
def test_a_log_that_is_none_is_said(wire, told, content):
    url = told(lambda handler, body: (200, {}, content))

    with pytest.raises(UnreachableError, match="answered 200 with something else than a log"):
        read_log(wire, url)
