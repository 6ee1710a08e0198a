"""Runs the chain: `python -m partners.sandbox.chain --port 0` prints one line of JSON when it is ready."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from partners.sandbox.chain.deploy import Wiring
from partners.sandbox.chain.server import CHAIN_ID, start_chain


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    defaults = Wiring()
    parser = argparse.ArgumentParser(prog="python -m partners.sandbox.chain", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--block-s", type=float, default=1.0, help="seconds between blocks; 0 mines only on demand")
    parser.add_argument("--chain-id", type=int, default=CHAIN_ID)
    parser.add_argument("--finalized-depth", type=int, default=16, help="blocks")
    parser.add_argument("--tee-url", default=defaults.tee_url, help="where the TEE answers; without it none is active")
    parser.add_argument("--tee-fee", type=int, default=defaults.tee_fee, help="wei")
    parser.add_argument("--cancel-delay-s", type=int, default=defaults.cancel_delay_s)
    parser.add_argument("--addresses", type=Path, help="also write the addresses to this file")
    asked = parser.parse_args(argv)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    chain = start_chain(
        port=asked.port,
        block_s=asked.block_s,
        chain_id=asked.chain_id,
        finalized_depth=asked.finalized_depth,
        wiring=Wiring(tee_url=asked.tee_url, tee_fee=asked.tee_fee, cancel_delay_s=asked.cancel_delay_s),
    )
    if asked.addresses:
        chain.addresses.write(asked.addresses)
    sys.stdout.write(json.dumps({"rpc_url": chain.rpc_url, "addresses": asdict(chain.addresses)}) + "\n")
    sys.stdout.flush()
    ending.wait()
    chain.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
