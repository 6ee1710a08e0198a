from partners.sandbox.chain import compile as compiling


def test_what_is_committed_is_what_the_sources_compile_to(tmp_path):
    target = tmp_path / "compiled.json"

    compiling.main([str(target)])

    assert target.read_text() == compiling.COMPILED.read_text()


def test_the_sources_have_not_changed_since():
    hashes = {name: contract["source_sha256"] for name, contract in compiling.load().items()}

    assert hashes == {name: compiling.source_hash(name) for name in compiling.NAMES}
