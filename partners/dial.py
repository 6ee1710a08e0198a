"""How a connection is made: a name is looked up once, its addresses are judged, and every wait ends with the call.

The judged addresses are the ones dialled, so a name that changes its answer (DNS rebinding) gains nothing.
Used by `partners.http` only.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from time import monotonic

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
    deadline_s: float
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

    def open(self, host: str, port: int, tls: ssl.SSLContext | None) -> socket.socket:
        """Return a socket connected to the first address of `host` that answers.

        With `tls`, name and certificate are checked against `host`, though the address is pinned.
        """
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
            return sock if tls is None else self._secure(sock, host, tls)
        raise problem

    def _secure(self, sock: socket.socket, host: str, tls: ssl.SSLContext) -> ssl.SSLSocket:
        try:
            sock.settimeout(self.left_s(self.connect_timeout_s))
            return tls.wrap_socket(sock, server_hostname=host)
        except BaseException:
            sock.close()
            raise
