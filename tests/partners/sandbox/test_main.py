"""`python -m partners.sandbox` says where it listens, and ends when it is told to."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "arguments",
    [
        ["s3", "--access-key-id", "AKSANDBOX", "--secret", "sandbox-secret", "--bucket", "health"],
        ["receiver", "--secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "--port", "0"],
    ],
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_prints_its_address_and_ends_on_a_signal(arguments, number):
    command = [sys.executable, "-m", "partners.sandbox", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        url = json.loads(process.stdout.readline())["url"]

        assert requests.get(f"{url}/_sandbox/log", timeout=5).json() == []

        process.send_signal(number)
        assert process.wait(10) == 0


@pytest.mark.parametrize(("server", "more"), [("tee", ["--join-pool"]), ("refiner", [])])
def test_a_service_reads_the_addresses_that_the_chain_wrote(chain, signer, tmp_path, server, more):
    chain.addresses.write(tmp_path / "addresses.json")
    key = chain.keys[server]
    command = [sys.executable, "-m", "partners.sandbox", server, "--private-key", key, *more]
    command += ["--addresses", str(tmp_path / "addresses.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        url = json.loads(process.stdout.readline())["url"]

        assert requests.get(f"{url}/_sandbox/jobs", timeout=5).json() == {}
        joined = [signer.read("tee_pool", "tees", tee)[1] for tee in signer.read("tee_pool", "activeTeeList")]
        assert joined == ([url] if more else [])

        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    for tee in signer.read("tee_pool", "activeTeeList"):
        chain.admin.transact("tee_pool", "removeTee", tee)


def test_an_unknown_server_is_refused_with_the_known_ones():
    command = [sys.executable, "-m", "partners.sandbox", "fax"]

    ended = subprocess.run(command, capture_output=True, cwd=ROOT, text=True, timeout=30)

    assert ended.returncode == 2
    assert "choose from" in ended.stderr
