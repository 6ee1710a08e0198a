import json

from partners.sandbox.chain import compile as compiling


def test_what_is_committed_is_what_the_sources_compile_to():
    assert compiling.compile_all() == compiling.load()


def test_main_writes_what_is_committed(tmp_path):
    target = tmp_path / "compiled.json"

    compiling.main([str(target)])

    assert target.read_text() == compiling.COMPILED.read_text()
    assert list(json.loads(target.read_text())) == list(compiling.NAMES)
