"""What failures have in common: their message without what differs from record to record."""

from __future__ import annotations

import re

LONGEST = 200
_VARYING = re.compile(
    r"(?P<id>\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b)"
    r"|(?P<time>\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)"
    r"|(?P<hex>\b0x[0-9a-f]+\b|\b(?=[0-9a-f]*\d)[0-9a-f]{12,}\b)"
    r"|(?P<name>(?<=://)[^\s\"']+|(?<=[\s\"'])/?[^\s\"'/]+/[^\s\"']*\d[^\s\"']*)"
    r"|(?P<number>\b\d{4,}(?:\.\d+)?\b|\b\d+(?:\.\d+)?(?=(?: ?(?:ms|s|seconds?|bytes?|blocks?|minutes?))\b))",
    re.IGNORECASE,
)


def name_cause(message: str) -> str:
    """Return the message with its ids, times, addresses and large numbers replaced, at most LONGEST characters.

    Numbers of up to three digits stay, since most are codes: "HTTP 503" is not "HTTP 429".
    """
    return _VARYING.sub(lambda found: f"<{found.lastgroup}>", message)[:LONGEST]
