"""What is said about a command line that cannot be right."""

import pytest

from verify.__main__ import main

STRANGER = "0x" + "5a" * 20
CHAIN_OPTIONS = ["--rpc", "http://x", "--registry", STRANGER, "--dlp", STRANGER, "--owner", STRANGER]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--rpc", "http://x", "--registry", STRANGER], "needed unless --akave-only: --dlp, --dlp-key-file, --owner"),
        (["--akave-only", "--s3-access-key-id", "id"], "--s3-access-key-id needs --s3-secret-file"),
        (["--akave-only", "--s3-log", "ftp://x"], "argument --s3-log: expected an http or https URL"),
        (["--registry", "0x12"], "argument --registry: expected an address: 0x and 40 hexadecimal characters"),
        (["--dlp-key-file", "/nowhere"], "argument --dlp-key-file: /nowhere cannot be read"),
        (["--keys-file", "{text}"], "text.txt does not hold a JSON object of object keys to record keys"),
        (["--keys-file", "{list}"], "list.json does not hold a JSON object of object keys to record keys"),
        (
            [*CHAIN_OPTIONS, "--dlp-key-file", "{text}"],
            "--dlp-key-file must hold a private key of 64 hexadecimal characters",
        ),
        (
            [*CHAIN_OPTIONS, "--dlp-key-file", "{text}", "--keys-file", "{object}"],
            "--keys-file is for --akave-only: else the keys come from the chain",
        ),
    ],
)
def test_wrong_options_are_exit_2_and_said(tmp_path, capsys, more, reason):
    files = {"text": "text.txt", "list": "list.json", "object": "object.json"}
    for name, content in (("text.txt", "no key"), ("list.json", "[]"), ("object.json", "{}")):
        (tmp_path / name).write_text(content)
    paths = {name: str(tmp_path / file) for name, file in files.items()}

    with pytest.raises(SystemExit) as ended:
        main(["--input", str(tmp_path), "--s3", "http://x", "--bucket", "b", *(part.format(**paths) for part in more)])

    assert ended.value.code == 2
    assert reason in capsys.readouterr().err
