"""The whole program against a real S3 and a real chain: right when all is right, and naming each thing that is not."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import verify
from partners.sandbox.faults import Fault
from verify.__main__ import main

PROGRAM = Path(verify.__file__).parent
STRANGER = "0x" + "5a" * 20
DOCUMENT = b'{"pulse": 60}'


def test_a_delivery_without_fault_is_all_right(estate, capsys):
    assert estate.verify() == []
    assert estate.report["counts"] == {
        "documents": 3,
        "distinct_documents": 2,
        "objects": 3,
        "objects_opened": 3,
        "uploads_logged": 3,
        "registrations": 3,
        "permissions": 3,
    }
    assert capsys.readouterr().out.startswith("verify: all right: 3 documents, 2 distinct documents, 3 objects")


def test_it_runs_where_nothing_else_of_this_repository_is(estate, tmp_path):
    shutil.copytree(PROGRAM, tmp_path / "alone" / "verify", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    done = subprocess.run(
        [sys.executable, "-m", "verify", *estate.options],
        cwd=tmp_path / "alone",
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("verify: all right: 3 documents")


def test_a_flipped_byte_is_named(estate):
    estate.server.faults.arm(Fault(kind="flip_byte", match="^four$"))
    estate.deliver("c/4.json", b"4", "health/four")

    assert estate.verify() == [
        ("document_missing", "c/4.json"),
        ("object_changed", "health/four (file 4)"),
        ("object_unopened", "health/four (file 4)"),
    ]


def test_a_deleted_object_is_named(estate):
    estate.put("checkin/two", b"", method="DELETE")

    assert estate.verify() == [("document_missing", "a/2.json"), ("object_missing", "file 2")]


def test_a_foreign_owner_is_named(estate):
    estate.write("c/4.json", b"4")
    estate.register(estate.url("health/four"), estate.store("health/four", b"4"), owner=STRANGER)

    assert estate.verify() == [("owner_foreign", "file 4")]
    assert estate.report["findings"][0]["detail"] == f"its owner is {STRANGER}"
    assert estate.verify("--owner", STRANGER) == []


def test_a_foreign_object_is_named(estate):
    estate.store("health/foreign", b"foreign")

    assert estate.verify() == [("object_unregistered", "health/foreign")]


def test_a_foreign_registration_is_named(estate):
    estate.register("https://elsewhere.invalid/one", "0x" + "00" * 32, owner=STRANGER)
    estate.register(estate.url("health/nothing"), "0x" + "11" * 32)

    assert estate.verify() == [
        ("object_missing", "file 5"),
        ("owner_foreign", "file 4"),
        ("registration_elsewhere", "file 4"),
    ]


def test_an_object_registered_twice_is_named(estate):
    estate.register(estate.url("health/%6Fne"), "0x" + "00" * 32, owner=STRANGER)

    assert ("registered_twice", "health/one") in estate.verify()


def test_an_object_stored_twice_is_named(estate):
    estate.register(estate.url("health/again"), estate.store("health/again", DOCUMENT))

    assert estate.verify() == [("object_surplus", "health/three (file 3)")]


def test_a_blanked_permission_is_named(estate):
    estate.transact("registry", "addFilePermission", 1, STRANGER, estate.seal(b"key"))
    assert estate.verify() == []

    estate.transact("registry", "addFilePermission", 1, STRANGER, "")

    assert estate.verify() == [("permission_missing", f"file 1 account {STRANGER}")]
    assert estate.report["findings"][0]["detail"] == "the key that was granted is blank now"


def test_a_blanked_key_of_the_dlp_is_named(estate):
    dlp = estate.chain.addresses.dlp
    estate.transact("registry", "addFilePermission", 2, dlp, "")

    assert estate.verify() == [
        ("document_missing", "a/2.json"),
        ("object_unopened", "checkin/two (file 2)"),
        ("permission_missing", f"file 2 account {dlp.lower()}"),
    ]


def test_a_permission_never_granted_is_named(estate):
    estate.transact("registry", "addFilePermission", 1, STRANGER, estate.seal(b"key"))
    estate.transact("registry", "addFilePermission", 2, STRANGER, "no key")

    assert estate.verify("--permission", STRANGER) == [
        ("permission_malformed", f"file 2 account {STRANGER}"),
        ("permission_missing", f"file 3 account {STRANGER}"),
    ]


def test_a_key_that_is_no_text_is_named(estate):
    estate.write("c/4.json", b"4")
    estate.store("health/four", b"4")
    estate.register_with(estate.url("health/four"), [(estate.chain.addresses.dlp, estate.seal(b"\xff"))])

    assert estate.verify() == [("document_missing", "c/4.json"), ("object_unopened", "health/four (file 4)")]


def test_a_key_used_twice_is_named(estate):
    key = "0x" + "22" * 32
    sealed = estate.seal(key.encode())
    for name in ("four", "five"):
        content = json.dumps(name).encode()
        estate.write(f"c/{name}.json", content)
        estate.store(f"health/{name}", content, key)
        estate.register_with(estate.url(f"health/{name}"), [(estate.chain.addresses.dlp, sealed)])

    assert estate.verify() == [
        ("ephemeral_key_shared", "file 5"),
        ("key_shared", "health/five (file 5)"),
    ]


def test_a_second_ciphertext_is_named(estate):
    key = estate.store("health/one", DOCUMENT)

    assert ("second_ciphertext", "health/one (file 1)") in estate.verify()
    assert key not in json.dumps(estate.report)


def test_the_same_ciphertext_put_again_is_all_right(estate):
    key = estate.store("health/four", b"4")
    estate.store("health/four", b"4", key)
    estate.write("c/4.json", b"4")
    estate.register(estate.url("health/four"), key)

    assert estate.verify() == []
    assert estate.report["counts"]["uploads_logged"] == 5


def test_missing_and_surplus_input_are_named(estate):
    (estate.input / "a/2.json").unlink()
    estate.write("a/4.json", b"4")
    estate.write("a/5.json", DOCUMENT)

    assert estate.verify() == [
        ("document_missing", "a/4.json"),
        ("document_missing", "b/3.json"),
        ("object_surplus", "checkin/two (file 2)"),
    ]
    assert estate.report["findings"][1]["detail"] == "no object opens to this document (one of 3 alike)"


def test_include_chooses_the_documents(estate):
    estate.write("a/shouldFail/4.json", b"4")

    assert estate.verify("--include", "*/[123].json") == []


def test_lines_are_compared_by_value(estate):
    lines = estate.folder / "in.ndjson"
    lines.write_text('{"pulse":60}\n"te\\u0078t"\n{ "pulse" : 60 }\n')
    options = [str(lines) if option == str(estate.input) else option for option in estate.options]

    assert estate.verify(options=options) == []


def test_equal_bytes_are_demanded_of_files(estate):
    estate.write("a/1.json", b'{"pulse":60}')

    assert estate.verify() == [("document_missing", "a/1.json"), ("object_surplus", "health/three (file 3)")]


def test_a_bucket_that_is_not_there_is_named(estate):
    assert estate.verify("--bucket", "nowhere") == [("bucket_missing", "nowhere")]


def test_an_upload_that_vanished_or_was_never_logged_is_named(estate, told):
    log = [entry for entry in estate.server.log() if entry["key"] != "one"]
    log.append({**log[0], "method": "PUT", "key": "gone", "sha256": "00", "status": 200})
    url = told(lambda handler, body: (200, {}, json.dumps(log).encode()))

    assert estate.verify("--s3-log", url) == [
        ("object_unlogged", "health/one (file 1)"),
        ("object_vanished", f"{log[0]['bucket']}/gone"),
    ]


def test_an_object_that_nobody_can_read_is_named(estate):
    estate.server.faults.arm(Fault(kind="get_404", match="^one$"))

    assert estate.verify() == [("document_missing", "b/3.json"), ("object_unreadable", "health/one (file 1)")]


def test_a_url_that_cannot_be_asked_for_is_named(estate):
    estate.write("c/4.json", b"4")
    estate.register(estate.url("health/with space"), estate.store("health/with%20space", b"4"))

    assert estate.verify() == [
        ("document_missing", "c/4.json"),
        ("object_unreadable", "health/with space (file 4)"),
    ]


def test_findings_hold_neither_content_nor_keys(estate, capsys):
    estate.register(estate.url("health/again\x1b[31m"), estate.store("health/again", b"very private"))

    assert estate.verify() != []
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\\x1b[31m" in out
    assert "private" not in out + json.dumps(estate.report)


def test_chain_faults_that_pass_are_no_findings(estate):
    estate.chain.faults.arm(Fault(kind="rpc_429", per_subject=2, times=2))
    estate.chain.faults.arm(Fault(kind="rpc_500"))

    assert estate.verify() == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"--rpc": "http://127.0.0.1:1"}, "127.0.0.1:1 does not answer (ConnectionRefusedError"),
        ({"--registry": STRANGER}, f"there is no contract at the registry's address {STRANGER}"),
        ({"--input": "/nowhere"}, "/nowhere cannot be read: No such file or directory"),
        ({"--s3-access-key-id": "wrong"}, "listing health was answered 403: check the S3 access key"),
    ],
)
def test_no_verdict_is_exit_2_and_says_why(estate, capsys, changes, reason):
    options = estate.options
    for name, value in changes.items():
        options[options.index(name) + 1] = value

    assert main(options) == 2
    assert f"verify: no verdict: {reason}" in capsys.readouterr().err
    assert not (estate.folder / "report.json").exists()


def test_without_a_chain_the_keys_file_opens_the_objects(estate):
    keys = {"health/four": estate.store("health/four", b"4"), "five": estate.store("checkin/five", b"5")}
    for place in ("health/one", "checkin/two", "health/three"):
        estate.put(place, b"", method="DELETE")
    (estate.folder / "keys.json").write_text(json.dumps(keys))
    shutil.rmtree(estate.input)
    estate.write("4.json", b"4")
    estate.write("5.json", b"5")
    options = [*estate.s3_options, "--akave-only", "--keys-file", str(estate.folder / "keys.json")]

    assert estate.verify(options=options) == []
    assert estate.report["counts"] == {
        "documents": 2,
        "distinct_documents": 2,
        "objects": 2,
        "objects_opened": 2,
        "uploads_logged": 5,
    }

    estate.store("health/six", b"6")

    assert estate.verify(options=options) == [("object_unopened", "health/six")]


def test_without_a_chain_or_keys_the_objects_are_counted(estate):
    options = [*estate.s3_options, "--akave-only"]

    assert estate.verify(options=options) == []

    estate.store("health/four", b"4")
    estate.store("health/four", b"4")

    assert estate.verify(options=options) == [("object_count", "all buckets"), ("second_ciphertext", "health/four")]
