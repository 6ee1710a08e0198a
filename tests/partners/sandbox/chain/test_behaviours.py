"""The behaviours hold on the sandbox, and the bench that shows them on any chain tells the truth."""

import json
import sys
from dataclasses import asdict

import pytest

from benchmarks import __main__ as bench
from benchmarks import chain_behaviours
from benchmarks._chain import Chain as Client
from benchmarks._chain import NotRun, open_chain, run
from partners.sandbox.chain.deploy import Wiring
from partners.sandbox.chain.server import start_chain


@pytest.fixture(scope="module")
def busy_chain():
    running = start_chain(block_s=0.05, wiring=Wiring(tee_url="https://tee.invalid"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def addresses(busy_chain):
    return asdict(busy_chain.addresses) | {"keys": dict(busy_chain.keys)}


@pytest.mark.parametrize("behaviour", chain_behaviours.BEHAVIOURS, ids=lambda function: function.__name__)
def test_the_sandbox_behaves_as_the_originals(behaviour, busy_chain, addresses):
    behaviour(Client(busy_chain.rpc_url, addresses, busy_chain.keys, wait_s=20))


def test_the_bench_looks_at_a_chain_that_is_named(busy_chain, addresses, tmp_path, capsys, monkeypatch):
    path = tmp_path / "addresses.json"
    path.write_text(json.dumps(asdict(busy_chain.addresses)))
    monkeypatch.setenv("CHAIN_KEY_SIGNER", busy_chain.keys["signer"])

    status = bench.main(["chain-behaviours", "--rpc", busy_chain.rpc_url, "--addresses", str(path), "--wait-s", "20"])

    lines = capsys.readouterr().out.splitlines()
    assert status == 0
    assert len(lines) == len(chain_behaviours.BEHAVIOURS)
    not_run = [line for line in lines if line.startswith("not run")]
    assert not_run == [
        "not run      a refinement updates its url but never a key: no key of the refiner was given",
        "not run      a paused registry refuses: no key of the admin was given",
        "not run      only the chosen tee completes a job and only once: no key of the tee was given",
        "not run      a reward is paid to the owner once: no key of the tee was given",
        "not run      a reward needs the right instruction score and signer: no key of the tee was given",
    ]


def test_a_difference_is_shown_and_fails_the_run(busy_chain, addresses, capsys):
    def it_differs(chain):
        raise AssertionError("version() is 1, expected 2")

    def it_cannot_be_seen(chain):
        raise NotRun("no clock")

    client = open_chain(busy_chain.rpc_url, addresses, 20)

    assert run(client, [it_differs, it_cannot_be_seen]) is False
    shown = "DIFFERS      it differs: version() is 1, expected 2\nnot run      it cannot be seen: no clock\n"
    assert capsys.readouterr().out == shown


def test_the_bench_starts_a_sandbox_when_no_chain_is_named(capsys):
    assert chain_behaviours.main(["--only", "nonce gap"]) == 0

    assert capsys.readouterr().out == "as expected  a nonce gap waits until it is filled\n"


def test_an_rpc_url_without_addresses_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        chain_behaviours.main(["--rpc", "http://127.0.0.1:1"])

    assert caught.value.code == 2
    assert "--rpc and --addresses belong together" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["nothing"]])
def test_the_dispatcher_lists_the_names(argv, capsys):
    assert bench.main(argv) == 2

    assert "chain-behaviours" in capsys.readouterr().err
    assert "nothing" not in sys.modules
