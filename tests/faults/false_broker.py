"""What sits at the broker's address and is no broker: it talks nonsense, hangs up, or never says anything."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

NONSENSE, HANGUP, SILENCE = "nonsense", "hangup", "silence"
_GARBAGE = b"*3\r\n$-7\r\n\xff\xfe<html>\r\n:x\r\n"


@contextmanager
def false_broker(port: int, manner: str) -> Iterator[None]:
    """Answer like this at 127.0.0.1:port as long as this lasts."""
    over = threading.Event()

    class Visit(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if manner == HANGUP:
                return
            self.request.settimeout(0.1)
            while not over.is_set():
                try:
                    if not self.request.recv(65536):
                        return
                    if manner == NONSENSE:
                        self.request.sendall(_GARBAGE)
                except TimeoutError:
                    continue
                except OSError:
                    return

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True

    with Server(("127.0.0.1", port), Visit) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield
        finally:
            over.set()
            server.shutdown()
            thread.join()
