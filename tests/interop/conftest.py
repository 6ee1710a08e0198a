"""A way to ask the JavaScript libraries, and GnuPG."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
Ask = Callable[[list[dict[str, str]]], list[dict[str, str]]]


@pytest.fixture(scope="session")
def ask_node() -> Ask:
    """Return a function that puts questions to answer.mjs; it raises when the script itself fails."""
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    if not (HERE / "node_modules").is_dir():
        pytest.skip("the JavaScript libraries are not installed: npm ci --prefix tests/interop")

    def ask(questions: list[dict[str, str]]) -> list[dict[str, str]]:
        done = subprocess.run(
            ["node", HERE / "answer.mjs"], input=json.dumps(questions), capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        answers: list[dict[str, str]] = json.loads(done.stdout)
        return answers

    return ask


@pytest.fixture
def gpg(tmp_path: Path) -> Iterator[Callable[..., bytes]]:
    """Return a function that runs gpg with a password, in a home of its own."""
    if not shutil.which("gpg"):
        pytest.skip("gpg is not installed")
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)

    def run(*arguments: str, password: str, message: bytes) -> bytes:
        words: list[Any] = ["gpg", "--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback"]
        # The password stands in a file: standard input carries the message.
        (home / "password").write_text(password)
        words += ["--passphrase-file", home / "password", *arguments]
        done = subprocess.run(words, input=message, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield run
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=False)
