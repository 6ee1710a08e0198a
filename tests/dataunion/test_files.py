"""Records from files: what is read as what, and a bad one told by name and reason without its content."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from dataunion.files import Documents, NothingFoundError, Source, read_path, spread_over_users
from dataunion.models import DataUnion, HealthData
from dataunion.state import BULK
from tests.dataunion.work import settings_of

DOCUMENTS = Documents(user_hash=lambda path: "u1", data_type=lambda path: "health")
GOOD = {"user_hash": "u1", "data_type": "health", "data_id": "a", "payload": {"x": 1}}


def write(folder: Path, **files: Any) -> Path:
    """Write files; `__` in a name is a slash, and `_` at its end becomes the suffix."""
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


def read(path: Path, **options: Any) -> list[Source]:
    return list(read_path(path, **options))


def problems(path: Path, **options: Any) -> dict[str, str]:
    return {source.name: source.problem for source in read(path, **options) if source.problem}


# --- what is read as what


def test_a_document_is_kept_byte_for_byte_under_its_relative_path(tmp_path: Path) -> None:
    raw = b'{ "x" : 1.0 }\n'
    write(tmp_path, sub__a_dot_json=raw)

    [source] = read(tmp_path, documents=DOCUMENTS)

    assert source.record is not None
    assert (source.name, source.record.data_id, source.record.payload) == ("sub/a.json", "sub/a.json", raw)
    assert (source.record.user_hash, source.record.data_type, source.record.priority) == ("u1", "health", BULK)


@pytest.mark.parametrize("raw", [b'"text"', b"1", b"null", b"[1,2]", b"{}"])
def test_any_json_value_is_a_document(tmp_path: Path, raw: bytes) -> None:
    write(tmp_path, a_dot_json=raw)

    assert [s.record.payload for s in read(tmp_path, documents=DOCUMENTS) if s.record] == [raw]


def test_each_line_of_an_ndjson_file_is_a_document(tmp_path: Path) -> None:
    write(tmp_path, a_dot_ndjson=b'{"x":1}\n\n  \n"two"\r\n3')

    found = [(s.name, s.record.payload) for s in read(tmp_path, documents=DOCUMENTS) if s.record]

    assert found == [("a.ndjson#1", b'{"x":1}'), ("a.ndjson#4", b'"two"'), ("a.ndjson#5", b"3")]


def test_an_envelope_says_whose_record_it_is(tmp_path: Path) -> None:
    full = {
        **GOOD,
        "schema": "omh:steps",
        "recorded_at": "2026-01-31T12:00:00+01:00",
        "owner": {"address": "0x" + "a" * 40},
    }
    write(tmp_path, a_dot_json=full)

    [source] = read(tmp_path)

    record = source.record
    assert record is not None
    assert (record.user_hash, record.data_id, record.payload) == ("u1", "a", b'{"x":1}')
    assert (record.schema_name, record.owner) == ("omh:steps", {"address": "0x" + "a" * 40})
    assert record.recorded_at is not None
    assert record.recorded_at.isoformat() == "2026-01-31T12:00:00+01:00"


def test_a_list_holds_envelopes(tmp_path: Path) -> None:
    write(tmp_path, a_dot_json=[GOOD, {**GOOD, "data_id": "b"}, 7])

    assert [(s.name, s.record.data_id if s.record else None) for s in read(tmp_path)] == [
        ("a.json#1", "a"),
        ("a.json#2", "b"),
        ("a.json#3", None),
    ]


def test_a_single_file_may_be_named(tmp_path: Path) -> None:
    write(tmp_path, a_dot_json=GOOD, b_dot_json=GOOD)

    assert [s.name for s in read(tmp_path / "a.json")] == ["a.json"]


def test_files_of_a_folder_come_in_order_and_by_pattern(tmp_path: Path) -> None:
    write(tmp_path, b_dot_json=GOOD, a__x__one_dot_json=GOOD, a__y__two_dot_json=GOOD, note_dot_txt=b"no")

    assert [s.name for s in read(tmp_path)] == ["a/x/one.json", "a/y/two.json", "b.json"]
    assert [s.name for s in read(tmp_path, include="*/x/*.json")] == ["a/x/one.json"]
    assert [s.name for s in read(tmp_path, include="a*")] == ["a/x/one.json", "a/y/two.json"]


def test_users_are_spread_by_path_and_always_the_same() -> None:
    user_hash = spread_over_users(3)

    found = {user_hash(f"file{n}.json") for n in range(60)}

    assert len(found) == 3
    assert user_hash("file1.json") == spread_over_users(3)("file1.json")
    assert {len(name) for name in found} == {64}


# --- what is bad


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NothingFoundError, match="nowhere does not exist; name a file or a folder"):
        read(tmp_path / "nowhere")


def test_a_folder_without_a_match_is_refused(tmp_path: Path) -> None:
    write(tmp_path, a_dot_json=GOOD)

    with pytest.raises(NothingFoundError, match=r"no \.json, \.ndjson, \.jsonl file under .* matches 'b\*'"):
        read(tmp_path, include="b*")


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"", "is not JSON: Expecting value at line 1, column 1"),
        (b'{"x":', "is not JSON: Expecting value at line 1, column 6"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"NaN", "is not JSON: NaN is not JSON"),
        (b'{"x":-Infinity}', "is not JSON: -Infinity is not JSON"),
        (b"[" * 100_000, "is not JSON: nested too deep"),
    ],
)
def test_what_is_no_json_is_told_by_name_and_reason(tmp_path: Path, raw: bytes, problem: str) -> None:
    write(tmp_path, a_dot_json=raw, b_dot_json=b"{}")

    assert problems(tmp_path, documents=DOCUMENTS) == {"a.json": problem}
    assert len(read(tmp_path, documents=DOCUMENTS)) == 2


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("text", "should be an object with user_hash, data_type, data_id and payload"),
        ({}, "lacks data_id, data_type, payload, user_hash"),
        (
            {**GOOD, "PLANTED-MARKER": 1},
            "has 1 other fields than data_id, data_type, owner, payload, recorded_at, schema, user_hash",
        ),
        (
            {**GOOD, "recorded_at": "yesterday"},
            "recorded_at should be a time with its zone, as 2026-01-31T12:00:00Z",
        ),
        (
            {**GOOD, "recorded_at": "2026-01-31T12:00:00"},
            "recorded_at should be a time with its zone, as 2026-01-31T12:00:00Z",
        ),
        ({**GOOD, "recorded_at": 7}, "recorded_at should be a time with its zone, as 2026-01-31T12:00:00Z"),
    ],
)
def test_what_is_no_envelope_is_told_by_name_and_reason(tmp_path: Path, value: Any, problem: str) -> None:
    write(tmp_path, a_dot_json=value)

    assert problems(tmp_path) == {"a.json": problem}


def test_half_a_surrogate_pair_is_no_text(tmp_path: Path) -> None:
    write(tmp_path, a_dot_json=b'{"user_hash":"u","data_type":"health","data_id":"a","payload":"\\ud800"}')

    assert problems(tmp_path) == {"a.json": "holds half of a surrogate pair, which is no text"}


def test_a_file_that_cannot_be_read_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    write(tmp_path, a_dot_json=GOOD, b_dot_json=GOOD)
    found = read_path(tmp_path)
    first = next(found)
    (tmp_path / "b.json").unlink()

    assert first.record is not None
    assert [(s.name, s.problem) for s in found] == [("b.json", "cannot be read: No such file or directory")]


# --- the command


def run(*arguments: Any) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    try:
        call_command("import_records", *map(str, arguments), stdout=out, stderr=err)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


@pytest.mark.django_db(transaction=True)
def test_a_folder_goes_in_and_again_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, a_dot_json=b'{"x":1}', sub__b_dot_ndjson=b'"one"\n"two"\n')

    first = run(tmp_path, "--data-type", "health", "--user-hash", "u1")
    again = run(tmp_path, "--data-type", "health", "--users", "1")
    same = run(tmp_path, "--data-type", "health", "--user-hash", "u1")

    assert first[:2] == (0, "3 new, 0 already here, 0 refused\n")
    assert again[:2] == (0, "3 new, 0 already here, 0 refused\n")  # another user's
    assert same[:2] == (0, "0 new, 3 already here, 0 refused\n")
    assert DataUnion.objects.count() == HealthData.objects.count() == 6


@pytest.mark.django_db(transaction=True)
def test_bad_files_are_told_by_name_and_reason_and_the_rest_goes_in(tmp_path: Path) -> None:
    secret = "PLANTED-MARKER"
    write(
        tmp_path,
        a_dot_json=GOOD,
        broken_dot_json=f'{{"{secret}'.encode(),
        conflict_dot_json={**GOOD, "payload": secret},
        email_dot_json={**GOOD, "user_hash": "ann@example.com", "data_id": "e"},
        huge_dot_json={**GOOD, "data_id": "h", "payload": secret * 100},
        odd_dot_json={**GOOD, "data_id": "o", secret: secret},
        owner_dot_json={**GOOD, "data_id": "w", "owner": [secret]},
        z_dot_json={**GOOD, "data_id": "z"},
    )

    with settings_of(ingest_max_payload_bytes=500):
        status, out, err = run(tmp_path)

    assert (status, out) == (1, "2 new, 0 already here, 6 refused\n")
    lines = dict(line.split(": ", 1) for line in err.splitlines() if ": " in line)
    assert lines == {
        "broken.json": "is not JSON: Unterminated string starting at at line 1, column 2",
        "conflict.json": (
            "other content is already stored under this user_hash, data_type and data_id; use a new data_id"
        ),
        "email.json": ("user_hash looks like an e-mail address; hand in a hash of it, never the address itself"),
        "huge.json": "payload has 1402 bytes; the limit is 500 bytes",
        "odd.json": "has 1 other fields than data_id, data_type, owner, payload, recorded_at, schema, user_hash",
        "owner.json": "owner should be an object with address and public_key",
    }
    assert secret not in out + err
    assert set(DataUnion.objects.values_list("data_id", flat=True)) == {"a", "z"}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--user-hash", "u1"], "--user-hash and --users go with --data-type"),
        (["--users", "3"], "--user-hash and --users go with --data-type"),
        (["--data-type", "health"], "whose are these documents? Say --user-hash HASH, or --users N for a trial"),
        (["--include", "nothing"], "matches 'nothing'"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, arguments: list[str], problem: str) -> None:
    write(tmp_path, a_dot_json=GOOD)

    with pytest.raises(CommandError) as refused:
        run(tmp_path, *arguments)

    assert problem in str(refused.value)
