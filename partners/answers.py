"""What an HTTP answer means: its status as a decision, its body as JSON. Pure; `partners.http` fetches."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from partners.errors import MisconfiguredError, PermanentError, TransientError

_AGAIN = {408, 425, 429}
_SKEW_S = 60.0  # so far may clocks be apart without anybody's trouble
_MAX_DEPTH = 200
_BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{]|[\]}]', re.DOTALL)


def redact_url(url: str) -> str:
    """Return `url` as staff may see it: without user, password, query and fragment, which may be secrets."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(not a URL)"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks for, 0 for a past date, None for none or nonsense.

    Not clamped: ten years are ten years; the engine knows how long it is willing to wait.
    """
    text = (value or "").strip()
    if re.fullmatch(r"\d+", text, re.ASCII):
        return float(text) if isfinite(float(text)) else None
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds())


def parse_json(body: bytes) -> Any:
    """Return `body` as one JSON value in UTF-8, as RFC 8259 has it: no NaN, no byte order mark.

    Raises ValueError, also for what `refuse_deep` refuses.
    """
    refuse_deep(body)
    return json.loads(body.decode(), parse_constant=_refuse_constant)


def refuse_deep(body: bytes) -> None:
    """Raise ValueError for JSON nested over 200 deep.

    Libraries raise the recursion limit so far that Python's parser would overflow the stack and take the process down.
    """
    if body.count(b"[") + body.count(b"{") > _MAX_DEPTH and _depth(body) > _MAX_DEPTH:
        raise ValueError("nested too deep")


def _depth(body: bytes) -> int:
    depth = deepest = 0
    for found in _BRACKETS.finditer(body):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(found[0], 0)
        deepest = max(deepest, depth)
    return deepest


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


@dataclass(frozen=True, kw_only=True)
class Response:
    """A whole answer. `source` names partner and step for error messages."""

    status: int
    headers: Mapping[str, str]  # names in any case
    body: bytes = field(repr=False)
    source: str

    def json(self) -> Any:
        """Return the body as JSON. Raises TransientError naming what came instead, never the body itself."""
        try:
            return parse_json(self.body)
        except ValueError:
            raise self._not("JSON", self._kind()) from None

    def json_object(self) -> dict[str, Any]:
        """Return the body as a JSON object. Raises TransientError as `json` does."""
        value = self.json()
        if not isinstance(value, dict):
            raise self._not("a JSON object", f"a JSON {type(value).__name__}")
        return value

    def is_web_page(self) -> bool:
        """Say whether a page for people came, as from a login page or a proxy in the partner's place."""
        return self.body.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html"))

    def _not(self, wanted: str, came: str) -> TransientError:
        message = f"{self.source}: answered {came}, not {wanted}; ask the partner what serves this URL"
        return TransientError(message, http_status=self.status)

    def _kind(self) -> str:
        if not self.body.strip():
            return "nothing"
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if "html" in kind or self.body.lstrip()[:1] == b"<":
            return "HTML or XML"
        return "broken JSON" if "json" in kind or not kind else "something else"


def check_status(status: int, headers: Mapping[str, str], source: str, now: datetime) -> None:
    """Raise the decision that a status stands for; return for 2xx."""
    if 200 <= status < 300:
        return
    said = f"{source}: answered {status}"
    if status in (401, 403):
        clocks = describe_clocks(headers.get("Date"), now)
        raise MisconfiguredError(f"{said}; check the credentials and what they may do{clocks}", http_status=status)
    if status == 410:
        raise MisconfiguredError(f"{said}: this address is gone for good; ask for the new one", http_status=status)
    if 300 <= status < 400:
        target = redact_url(headers.get("Location", "")) or "nowhere"
        raise TransientError(
            f"{said}, a redirect to {target}, which is not followed; correct the URL", http_status=status
        )
    if 400 <= status < 500 and status not in _AGAIN:
        raise PermanentError(f"{said}; the same request will be refused again", http_status=status)
    after_s = parse_retry_after(headers.get("Retry-After"), read_their_time(headers.get("Date"), now))
    raise TransientError(said, retry_after_s=after_s, http_status=status)


def describe_clocks(date: str | None, now: datetime) -> str:
    """Return what to add to a refusal that a wrong clock of ours may have caused; "" where clocks agree."""
    ahead_s = (now - read_their_time(date, now)).total_seconds()
    if not ahead_s:
        return ""
    return f"; this machine's clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} theirs"


def read_their_time(date: str | None, now: datetime) -> datetime:
    """Return the time by the clock that dated an answer, where it is far from our `now`; else that."""
    try:
        dated = parsedate_to_datetime(date or "")
    except (ValueError, OverflowError):
        return now
    theirs = dated.replace(tzinfo=dated.tzinfo or UTC)
    return theirs if abs((now - theirs).total_seconds()) > _SKEW_S else now
