"""What counts as one record of the input, and what as the same content."""

import json
from pathlib import Path

import pytest

from verify.inputs import InputError, digest, read_inputs

OMH = Path(__file__).parents[2].parent / "shared" / "data" / "omh" / "test-data" / "omh"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_each_file_of_a_folder_is_one_document_by_bytes(tmp_path):
    write(tmp_path / "a/pass/1.json", '{"x": 1}')
    write(tmp_path / "b/2.0/pass/2.json", '{"x":1}')
    write(tmp_path / "b/fail/3.json", "3")
    write(tmp_path / "b/pass/readme.md", "no")

    documents = read_inputs([tmp_path], "*/pass/*.json")

    assert [document.name for document in documents] == ["a/pass/1.json", "b/2.0/pass/2.json"]
    assert documents[0].is_exact
    assert documents[0].content.by_value == documents[1].content.by_value
    assert documents[0].content.by_bytes != documents[1].content.by_bytes


def test_each_line_and_each_list_element_is_one_document_by_value(tmp_path):
    lines = write(tmp_path / "in.ndjson", '{"x": 1}\n\n"text"\n')
    listed = write(tmp_path / "in.json", '[{"x":1}, 2]')

    documents = read_inputs([lines, listed])

    assert [document.name for document in documents] == ["in.ndjson:1", "in.ndjson:3", "in.json[0]", "in.json[1]"]
    assert documents[0].content == documents[2].content
    assert not documents[0].is_exact


def test_the_payload_of_an_envelope_is_the_document(tmp_path):
    envelope = {"user_hash": "u", "data_type": "health", "data_id": "1", "payload": {"x": 1}}
    path = write(tmp_path / "in.ndjson", json.dumps(envelope))

    assert read_inputs([path])[0].content.by_value == digest(b'{"x":1}').by_value


def test_a_lone_json_file_is_one_document_by_bytes(tmp_path):
    path = write(tmp_path / "one.json", '{"x": 1}')

    assert read_inputs([path])[0].content == digest(b'{"x": 1}')


def test_lines_in_a_folder_are_documents(tmp_path):
    write(tmp_path / "sub/in.ndjson", "1\n2\n")

    assert [document.name for document in read_inputs([tmp_path], "*")] == ["sub/in.ndjson:1", "sub/in.ndjson:2"]


@pytest.mark.parametrize("content", [b"\xff\x00", b"[" * 100_000, b"not json"])
def test_what_is_no_json_still_has_its_bytes(content):
    assert digest(content).by_value == ""
    assert len(digest(content).by_bytes) == 64


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [("bad.json", "{", "bad.json is not JSON"), ("bad.ndjson", "1\n{\n", "bad.ndjson line 2 is not JSON")],
)
def test_input_that_is_no_json_is_named(tmp_path, name, text, reason):
    with pytest.raises(InputError, match=reason):
        read_inputs([write(tmp_path / name, text)])


def test_input_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="none.json cannot be read: No such file"):
        read_inputs([tmp_path / "none.json"])


@pytest.mark.omh
@pytest.mark.skipif(not OMH.is_dir(), reason="the Open mHealth files are not at ../shared/data")
def test_open_mhealth_gives_288_documents_of_242_contents():
    documents = read_inputs([OMH], "*/shouldPass/*.json")

    assert len(documents) == 288
    assert len({document.content.by_bytes for document in documents}) == 242
