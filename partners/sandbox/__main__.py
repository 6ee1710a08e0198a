"""Run one sandbox server as a process of its own: prints one JSON line with its address, ends on SIGTERM."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Sequence

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
    for server in servers.choices.values():
        server.add_argument("--port", type=int, default=0, help="0 takes a free one")
    return parser


def _start(arguments: argparse.Namespace) -> Server:
    """Start the server asked for; each is imported only when asked for, since some are slow to import."""
    if arguments.server == "s3":
        from partners.sandbox.s3 import start_s3

        return start_s3(
            access_key_id=arguments.access_key_id,
            secret=arguments.secret,
            buckets=arguments.bucket or ("health", "checkin"),
            port=arguments.port,
        )
    from partners.sandbox.receiver import start_receiver

    return start_receiver(secret=arguments.secret, port=arguments.port)


if __name__ == "__main__":
    sys.exit(main())
