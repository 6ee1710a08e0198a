"""Run one sandbox server as a process of its own: prints one JSON line with its address, ends on SIGTERM.

The chain has an entry of its own, `python -m partners.sandbox.chain`; the TEE and the refinement service read the
file of addresses that it writes.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from partners.sandbox.control import Server


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    arguments = _parser().parse_args(argv)
    ended = threading.Event()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wanted, lambda number, frame: ended.set())
    server = _start(arguments)
    sys.stdout.write(json.dumps({"url": server.url}) + "\n")
    sys.stdout.flush()
    ended.wait()
    server.stop()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m partners.sandbox", description=__doc__)
    servers = parser.add_subparsers(dest="server", required=True)
    s3 = servers.add_parser("s3", help="object storage")
    s3.add_argument("--access-key-id", required=True)
    s3.add_argument("--secret", required=True)
    s3.add_argument("--bucket", action="append", help="may be given several times; default: health and checkin")
    receiver = servers.add_parser("receiver", help="webhook receiver")
    receiver.add_argument("--secret", required=True, help="whsec_ and base64")
    tee = servers.add_parser("tee", help="trusted execution environment")
    tee.add_argument("--join-pool", action="store_true", help="have the chain's admin add it to the TeePool")
    refiner = servers.add_parser("refiner", help="refinement service")
    for service in (tee, refiner):
        service.add_argument("--addresses", type=Path, required=True, help="the file that the chain wrote")
        service.add_argument("--private-key", required=True, help="of its account, 0x and 64 hex characters")
    for server in servers.choices.values():
        server.add_argument("--port", type=int, default=0, help="0 takes a free one")
    return parser


def _start(arguments: argparse.Namespace) -> Server:
    """Start the server asked for; each is imported only when asked for, since some are slow to import."""
    if arguments.server == "s3":
        from partners.sandbox.s3 import start_s3

        buckets = arguments.bucket or ("health", "checkin")
        return start_s3(
            access_key_id=arguments.access_key_id, secret=arguments.secret, buckets=buckets, port=arguments.port
        )
    if arguments.server == "receiver":
        from partners.sandbox.receiver import start_receiver

        return start_receiver(secret=arguments.secret, port=arguments.port)
    addresses = json.loads(arguments.addresses.read_text())
    on_chain = {"rpc_url": addresses["rpc_url"], "addresses": addresses, "private_key": arguments.private_key}
    if arguments.server == "tee":
        from partners.sandbox.tee import start_tee

        return start_tee(**on_chain, port=arguments.port, join_pool=arguments.join_pool)
    from partners.sandbox.refiner import start_refiner

    return start_refiner(**on_chain, port=arguments.port)


if __name__ == "__main__":
    sys.exit(main())
