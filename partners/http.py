"""HTTP to a partner: every outcome is an answer or one of `partners.errors`; the only file that imports requests.

No redirects, cookies, proxies or .netrc: a request goes where its URL says, once, and retries are the engine's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidHeader, InvalidSchema, InvalidURL, MissingSchema, SSLError, Timeout
from urllib3.exceptions import HTTPError, ReadTimeoutError

from partners import answers, dial
from partners.answers import Response, redact_url
from partners.errors import MisconfiguredError, PartnerError, TransientError, UnknownOutcome

__all__ = ["HttpClient", "Response", "redact_url"]

_CHUNK_BYTES = 65536
_WRONG_URL = (InvalidURL, InvalidSchema, MissingSchema)


class HttpClient:
    """One partner's connections. Thread-safe; `deadline_s` bounds all of a request but the system's DNS look-up."""

    def __init__(
        self,
        *,
        partner: str,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 15.0,
        deadline_s: float = 25.0,
        max_bytes: int = 1_000_000,
        allow_private: bool = True,
        headers: Mapping[str, str] | None = None,
        ca_file: str | None = None,
        resolve: dial.Resolve = dial.look_up,
    ) -> None:
        self._partner = partner
        self._connect_timeout_s, self._read_timeout_s = connect_timeout_s, read_timeout_s
        self._deadline_s, self._max_bytes = deadline_s, max_bytes
        self._allow_private, self._resolve = allow_private, resolve
        self._headers = {"User-Agent": "DataUnion", "Accept-Encoding": "identity", **(headers or {})}
        self._verify: bool | str = ca_file or True
        self._adapter = HTTPAdapter(max_retries=0, pool_maxsize=32)
        self._adapter.poolmanager.pool_classes_by_scheme = dial.POOLS

    def request(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        step: str,
        unknown_on_lost: bool,
        check_status: bool = True,
        truncate: bool = False,
        max_bytes: int | None = None,
    ) -> Response:
        """Send one request and return its whole answer; `check_status=False` returns a refusal as it is.

        An answer over `max_bytes` (the client's own, unless given) is an error, or with `truncate` cut off there.
        Raises TransientError, PermanentError, MisconfiguredError; and where the request may have arrived but no
        answer did, UnknownOutcome if `unknown_on_lost`.
        """
        source = f"{self._partner}: {step}"
        call = self._call()
        token = dial.current.set(call)
        try:
            asked = requests.Request(method, url, {**self._headers, **(headers or {})}, data=data, json=json).prepare()
            with self._send(asked) as answer:
                if check_status:
                    answers.check_status(answer.status_code, answer.headers, source, datetime.now(UTC))
                return _read(answer, source, max_bytes or self._max_bytes, truncate=truncate)
        except _WRONG_URL:
            raise MisconfiguredError(f"{source}: the URL is not one; it should look like https://host/path") from None
        except InvalidHeader:
            raise MisconfiguredError(f"{source}: a header holds a character that HTTP forbids") from None
        except dial.PrivateAddressError as error:
            told = f"{error} leads into a private network, which is refused; set allow_private if it should"
            raise MisconfiguredError(f"{source}: {told}") from None
        except (OSError, HTTPError) as error:  # requests' own errors are OSErrors; their texts show whole URLs
            raise _lost(call, f"{source}: {urlsplit(url).hostname}", error, unknown_on_lost=unknown_on_lost) from None
        finally:
            dial.current.reset(token)

    def _send(self, asked: requests.PreparedRequest) -> requests.Response:
        timeout = (self._connect_timeout_s, self._read_timeout_s)
        return self._adapter.send(asked, stream=True, timeout=timeout, verify=self._verify)

    def close(self) -> None:
        """Close idle connections."""
        self._adapter.close()

    def _call(self) -> dial.Call:
        return dial.Call(
            connect_timeout_s=self._connect_timeout_s,
            read_timeout_s=self._read_timeout_s,
            ends_at=monotonic() + self._deadline_s,
            allow_private=self._allow_private,
            resolve=self._resolve,
        )


def _read(answer: requests.Response, source: str, max_bytes: int, *, truncate: bool) -> Response:
    body = bytearray()
    for chunk in answer.raw.stream(_CHUNK_BYTES, decode_content=True):
        body += chunk
        if len(body) > max_bytes:
            if truncate:
                break
            message = f"{source}: the answer is longer than {max_bytes} bytes and was cut off"
            raise TransientError(message, http_status=answer.status_code)
    content = bytes(body[:max_bytes])
    return Response(status=answer.status_code, headers=answer.headers, body=content, source=source)


def _lost(call: dial.Call, who: str, error: Exception, *, unknown_on_lost: bool) -> PartnerError:
    """Say what a broken request means: before anything was sent it is harmless, afterwards nobody knows."""
    if call.phase == "look_up":
        return TransientError(f"{who} was not found by DNS; check the name in the URL")
    if call.phase == "connect":
        cause = "offers no TLS that we trust" if isinstance(error, SSLError) else "cannot be connected to"
        return TransientError(f"{who} {cause}; nothing was sent")
    late = isinstance(error, (Timeout, ReadTimeoutError))
    message = f"{who} {'did not answer in time' if late else 'broke off before its answer was whole'}"
    return UnknownOutcome(message) if unknown_on_lost else TransientError(message)
