"""The chain as a process of its own, and one that mines by itself."""

import json
import signal
import subprocess
import sys
from dataclasses import asdict

from benchmarks._chain import Chain as Client
from partners.sandbox.chain.deploy import Wiring, role_key
from partners.sandbox.chain.server import start_chain


def test_the_program_says_where_it_is_and_ends_on_sigterm(tmp_path):
    addresses = tmp_path / "addresses.json"
    command = [sys.executable, "-m", "partners.sandbox.chain", "--block-s", "0.05", "--addresses", str(addresses)]
    command += ["--tee-url", "http://127.0.0.1:1", "--tee-fee", "3", "--cancel-delay-s", "9", "--chain-id", "1480"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        said = json.loads(process.stdout.readline())
        client = Client(said["rpc_url"], said["addresses"], {"signer": role_key("signer")}, wait_s=10)

        assert said["addresses"] == json.loads(addresses.read_text())
        assert said["addresses"]["rpc_url"] == said["rpc_url"]
        assert client.chain_id == said["addresses"]["chain_id"] == 1480
        assert (client.view("tee_pool", "teeFee"), client.view("tee_pool", "cancelDelay")) == (3, 9)
        receipt = client.transact("signer", "registry", "addFile", client.new_url())
        assert receipt["status"] == "0x1"

        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_blocks_come_by_themselves():
    chain = start_chain(block_s=0.02)
    try:
        client = Client(chain.rpc_url, asdict(chain.addresses), chain.keys, wait_s=10)
        before = chain.node.head.number

        assert client.until(lambda: chain.node.head.number >= before + 3, "three blocks")
    finally:
        chain.stop()


def test_without_a_tee_url_no_tee_is_active():
    chain = start_chain(block_s=0, wiring=Wiring())
    try:
        client = Client(chain.rpc_url, asdict(chain.addresses), chain.keys, wait_s=10)
        assert client.view("tee_pool", "activeTeeList") == ()

        tee = client.address("tee")
        client.rpc("sandbox_transact", "tee_pool", "addTee", [tee, "http://127.0.0.1:1", "0x04"])

        assert client.view("tee_pool", "activeTeeList") == (tee.lower(),)
    finally:
        chain.stop()


def test_two_chains_live_side_by_side_with_the_same_addresses():
    first, second = start_chain(block_s=0), start_chain(block_s=0)
    try:
        assert first.rpc_url != second.rpc_url
        assert first.addresses.registry == second.addresses.registry
    finally:
        first.stop()
        second.stop()
