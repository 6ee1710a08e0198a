"""Addresses where no partner answers, and what a rude one costs us: the places that scenarios send our requests to."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.processes import free_port

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def black_hole() -> Iterator[str]:
    """Give the address of a peer that takes connections and bytes and says nothing, as behind a dead line."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def nobody() -> Iterator[str]:
    """Give the address of a port where nobody listens."""
    yield f"http://127.0.0.1:{free_port()}"


@contextmanager
def no_name() -> Iterator[str]:
    """Give an address whose name leads nowhere."""
    yield "https://partner.invalid"


@contextmanager
def self_signed() -> Iterator[str]:
    """Give the address of a peer whose certificate nobody vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with NamedTemporaryFile(suffix=".pem") as pem:
        pem.write(_certificate("127.0.0.1"))
        pem.flush()
        context.load_cert_chain(pem.name)
    with _serving(lambda connection: context.wrap_socket(connection, server_side=True).close()) as address:
        yield f"https://{address}"


def _certificate(name: str) -> bytes:
    """Return a key and its own certificate as PEM."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    whose = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder(whose, whose, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + made.sign(key, SHA256()).public_bytes(Encoding.PEM)


@contextmanager
def visited() -> Iterator[tuple[str, list[bytes]]]:
    """Give the address of our own admin, as it were, and what it was asked."""
    asked: list[bytes] = []
    with _serving(lambda connection: asked.append(connection.recv(65536))) as address:
        yield f"http://{address}/admin/", asked


@contextmanager
def _serving(serve: Callable[[socket.socket], object]) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextmanager
def memory_growth() -> Iterator[list[int]]:
    """Note by how many bytes this process grew at most while the block ran."""
    grown: list[int] = []
    done = threading.Event()
    before = peak = _resident_bytes()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, _resident_bytes())

    thread = threading.Thread(target=watch)
    thread.start()
    yield grown
    done.set()
    thread.join()
    grown.append(max(peak, _resident_bytes()) - before)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
