"""What counts as one record of the input, and what as the same content."""

import json
import sys
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


def envelope(data_id, payload):
    return {"user_hash": "u", "data_type": "health", "data_id": data_id, "payload": payload}


def test_each_line_is_one_document_by_value(tmp_path):
    path = write(tmp_path / "sub/in.ndjson", '{"x": 1}\n\n"text"\n{"x":1}\n')

    documents = read_inputs([tmp_path])

    assert [document.name for document in documents] == ["sub/in.ndjson#1", "sub/in.ndjson#3", "sub/in.ndjson#4"]
    assert documents[0].content == documents[2].content
    assert not documents[0].is_exact
    assert [document.name for document in read_inputs([path])] == ["in.ndjson#1", "in.ndjson#3", "in.ndjson#4"]


def test_the_payload_of_an_envelope_is_the_document(tmp_path):
    write(tmp_path / "a.ndjson", json.dumps(envelope("1", {"x": 1})))
    write(tmp_path / "b.json", json.dumps([envelope("2", {"x": 1}), envelope("3", 3)]))
    write(tmp_path / "c.json", json.dumps(envelope("4", {"x": 1})))

    documents = read_inputs([tmp_path])

    assert [document.name for document in documents] == ["a.ndjson#1", "b.json#1", "b.json#2", "c.json"]
    assert [document.content.by_value == digest(b'{"x":1}').by_value for document in documents] == [1, 1, 0, 1]


def test_an_envelope_handed_in_again_is_the_same_record(tmp_path):
    path = write(tmp_path / "in.json", json.dumps([envelope("1", 1), envelope("1", 1), envelope("1", 2)]))

    assert [document.name for document in read_inputs([path, path])] == ["in.json#1", "in.json#3"]


@pytest.mark.parametrize("text", ['{"x": 1}', "[1, 2]", "[]", '"bare"'])
def test_any_other_json_file_is_one_document_by_bytes(tmp_path, text):
    path = write(tmp_path / "one.json", text)

    assert [(document.content, document.is_exact) for document in read_inputs([path])] == [
        (digest(text.encode()), True)
    ]


@pytest.fixture
def usual_recursion():
    """Undo what py-evm does on import: with its limit, nested JSON overflows the stack of the whole process."""
    raised = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(raised)


@pytest.mark.parametrize("content", [b"\xff\x00", b"[" * 100_000, b"not json"])
def test_what_is_no_json_still_has_its_bytes(content, usual_recursion):
    assert digest(content).by_value == ""
    assert len(digest(content).by_bytes) == 64


@pytest.mark.parametrize(("name", "document"), [("bad.json", "bad.json"), ("bad.ndjson", "bad.ndjson#1")])
def test_input_that_is_no_json_is_a_document_too_so_that_it_is_missed(tmp_path, name, document):
    documents = read_inputs([write(tmp_path / name, "{")])

    assert [(document.name, document.content) for document in documents] == [(document, digest(b"{"))]


def test_input_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="none.json cannot be read: No such file"):
        read_inputs([tmp_path / "none.json"])


@pytest.mark.omh
@pytest.mark.skipif(not OMH.is_dir(), reason="the Open mHealth files are not at ../shared/data")
def test_open_mhealth_gives_288_documents_of_242_contents():
    documents = read_inputs([OMH], "*/shouldPass/*.json")

    assert len(documents) == 288
    assert len({document.content.by_bytes for document in documents}) == 242
