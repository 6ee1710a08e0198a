"""Where a request may go: the address filter, pinning, and TLS over a pinned address."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from partners.dial import is_public, look_up
from partners.errors import MisconfiguredError, TransientError
from tests.partners.wire import Wire, answer, failure

OURS = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.8.8.8",
    "169.254.169.254", "172.16.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
    "224.0.0.1", "240.0.0.1", "255.255.255.255", "168.63.129.16", "::", "::1", "::7f00:1", "::ffff:127.0.0.1",
    "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::1", "2002:a00:1::", "fc00::1",
    "fd00:ec2::254", "fe80::1", "fe80::1%1", "fec0::1", "ff02::1", "2001:db8::1", "3fff::1", "5f00::1", "2001::1",
]  # fmt: skip


@pytest.mark.parametrize("address", OURS)
def test_an_address_of_our_own_network_is_not_public(address):
    assert is_public(address) is False


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_an_address_out_there_is_public(address):
    assert is_public(address) is True


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]", "0"]
)
def test_no_spelling_of_loopback_passes_the_filter(serve, ask, host):
    wire = serve(answer())

    error = failure(lambda: ask(f"http://{host}:{wire.port}/", {"allow_private": False}))

    assert type(error) is MisconfiguredError
    assert error.message.endswith("leads into a private network, which is refused; set allow_private if it should")
    assert wire.connections == 0


def test_one_private_address_among_public_ones_is_refused(serve, ask):
    wire = serve(answer())
    options = {"allow_private": False, "resolve": lambda host, port: ["93.184.216.34", "127.0.0.1"]}

    error = failure(lambda: ask(f"http://partner.test:{wire.port}/", options))

    assert error.message.startswith("hook: send: partner.test leads into a private network")
    assert wire.connections == 0


def test_a_name_is_looked_up_once_a_connection_and_what_was_judged_is_dialled(serve, make_client):
    first = serve(answer(200, b"first", Connection="close"))
    second = serve(answer(200, b"second", Connection="close"), address=("127.0.0.2", first.port))
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    client = make_client(resolve=lambda host, port: next(answers))

    bodies = [
        client.request("GET", f"http://partner.test:{first.port}/", step="get", unknown_on_lost=False).body
        for _ in range(2)
    ]

    assert bodies == [b"first", b"second"]
    assert (first.connections, second.connections) == (1, 1)
    assert f"Host: partner.test:{first.port}".encode() in first.requests[0]


def test_the_next_address_is_tried_when_the_first_is_not_there(serve, ask):
    wire = serve(answer())

    response = ask(f"http://partner.test:{wire.port}/", {"resolve": lambda host, port: ["127.0.0.3", "127.0.0.1"]})

    assert response.status == 200


def test_the_systems_look_up_gives_addresses_without_doubles():
    found = look_up("localhost", 80)

    assert "127.0.0.1" in found
    assert len(found) == len(set(found))


def test_a_label_that_is_too_long_is_a_name_not_found():
    with pytest.raises(socket.gaierror):
        look_up("a" * 64, 80)


def make_certificate(folder: Path, name: str, *, days: int) -> Path:
    """Write key and self-signed certificate for `name`, valid until `days` from now, as one PEM file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=90))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    path = folder / f"{name}.pem"
    path.write_bytes(pem)
    return path


def serve_tls(serve: Callable[..., Wire], pem: Path) -> Wire:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return serve(answer(200, b"tls"), tls=context)


def test_tls_is_checked_against_the_name_though_the_address_is_pinned(serve, ask, tmp_path):
    pem = make_certificate(tmp_path, "partner.test", days=9)
    wire = serve_tls(serve, pem)
    options = {"ca_file": str(pem), "resolve": lambda host, port: ["127.0.0.1"]}

    assert ask(f"https://partner.test:{wire.port}/", options).body == b"tls"
    assert "offers no TLS that we trust" in failure(lambda: ask(f"https://other.test:{wire.port}/", options)).message


@pytest.mark.parametrize(("days", "trusted"), [(-1, True), (9, False)])
def test_an_expired_or_unknown_certificate_is_refused_before_anything_is_sent(serve, ask, tmp_path, days, trusted):
    pem = make_certificate(tmp_path, "partner.test", days=days)
    wire = serve_tls(serve, pem)
    options = {"ca_file": str(pem) if trusted else None, "resolve": lambda host, port: ["127.0.0.1"]}

    error = failure(lambda: ask(f"https://partner.test:{wire.port}/", options))

    assert type(error) is TransientError
    assert error.message == "hook: send: partner.test offers no TLS that we trust; nothing was sent"
    assert wire.requests == []


def test_a_server_that_stalls_the_handshake_ends_with_the_deadline(make_client):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = make_client(deadline_s=0.5)
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"

        error = failure(lambda: client.request("GET", url, step="get", unknown_on_lost=True))

    assert type(error) is TransientError
