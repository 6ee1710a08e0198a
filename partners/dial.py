"""How a connection is made: a name is looked up once, its addresses are judged, and every wait ends with the call.

The judged addresses are the ones dialled, so a name that changes its answer (DNS rebinding) gains nothing.
Used by `partners.http` only.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from http.client import HTTPResponse
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from time import monotonic
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

Resolve = Callable[[str, int], Sequence[str]]

# Not private in every Python we run on, yet no partner lives there: protocol assignments, relay anycast,
# documentation, and the address from which Azure serves credentials.
_NOT_PUBLIC = tuple(map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "168.63.129.16/32")))
_UNICAST = ip_network("2000::/3")  # all of IPv6 that is routed between networks
_NAT64 = ip_network("64:ff9b::/96")


class PrivateAddressError(Exception):
    """The name leads to an address inside our own network. Not an OSError: no layer below may retry or wrap it."""


def look_up(host: str, port: int) -> list[str]:
    """Return the addresses of `host`, in the system's order."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:  # a label over 63 characters
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from None
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def is_public(address: str) -> bool:
    """Say whether `address` is a partner out there, not our own network, however it is written."""
    ip = _inner(ip_address(address))
    if any(ip in net for net in _NOT_PUBLIC) or (ip.version == 6 and ip not in _UNICAST):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


def _inner(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that a translating IPv6 address stands for, else the address itself."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip


@dataclass(kw_only=True)
class Call:
    """One request on its way: what it may take, and how far it came."""

    connect_timeout_s: float
    read_timeout_s: float
    ends_at: float  # monotonic
    allow_private: bool
    resolve: Resolve
    phase: str = "look_up"  # then "connect", then "sent": from there on the partner may have got it

    def left_s(self, at_most_s: float) -> float:
        """Return how long the next wait may be; raises TimeoutError once the call's time is up."""
        left = self.ends_at - monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return min(left, at_most_s)

    def open(self, host: str, port: int) -> socket.socket:
        """Return a socket connected to the first address of `host` that answers."""
        addresses = self.resolve(host, port)
        if not self.allow_private and not all(map(is_public, addresses)):
            raise PrivateAddressError(host)
        self.phase = "connect"
        problem: OSError = socket.gaierror(socket.EAI_NONAME, "no address")
        for address in addresses:
            try:
                sock = socket.create_connection((address, port), self.left_s(self.connect_timeout_s))
            except OSError as error:
                problem = error
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        raise problem


current: ContextVar[Call] = ContextVar("current_call")  # of this thread: a pooled connection serves many calls


class _TimedReader(io.RawIOBase):
    """A socket's bytes under the call's deadline: each read may wait only as long as the call has left."""

    def __init__(self, sock: socket.socket, call: Call) -> None:
        self._sock, self._call, self._raw = sock, call, sock.makefile("rb", buffering=0)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._call.left_s(self._call.read_timeout_s))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Dialled(HTTPConnection):
    """The part that both kinds of connection share."""

    def _new_conn(self) -> socket.socket:
        return current.get().open(self._dns_host, self.port or self.default_port)

    def send(self, data: Any) -> None:
        call = current.get()
        if self.sock is None:
            self.connect()
        call.phase = "sent"
        self.sock.settimeout(call.left_s(call.ends_at))
        super().send(data)

    def response_class(self, sock: socket.socket, *args: Any, **kwargs: Any) -> HTTPResponse:  # type: ignore[override]
        """Make http.client read its answer through the timed reader."""
        return HTTPResponse(_TimedReader(sock, current.get()), *args, **kwargs)  # type: ignore[arg-type]


class _DialledTls(_Dialled, HTTPSConnection):
    """TLS over the pinned address: name and certificate are still checked against the URL's host."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Dialled


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _DialledTls


POOLS = {"http": _Pool, "https": _TlsPool}
