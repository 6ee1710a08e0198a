"""Reading a body: bounded in size, JSON in UTF-8 and nothing doubtful in it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from dataunion.api.errors import BodyTooLargeError
from dataunion.conf import conf
from partners.answers import refuse_deep

_PART_BYTES = 1 << 16
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class BoundedRequest(Request):
    """A request whose body is read also where it comes in chunks and its length is not told."""

    _stream: Any

    def _load_stream(self) -> None:
        super()._load_stream()  # type: ignore[misc]
        if self._stream is None and "chunked" in self.META.get("HTTP_TRANSFER_ENCODING", "").lower():
            self._stream = self.META["wsgi.input"]


class BoundedJSONParser(BaseParser):
    """Parses JSON of at most DATAUNION_API_MAX_BODY_BYTES."""

    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the value. Raises BodyTooLargeError, ParseError."""
        request = (parser_context or {})["request"]
        return read_json(_read(stream, int(request.META.get("CONTENT_LENGTH") or 0)))


def _read(stream: IO[bytes], length: int) -> bytes:
    limit, body = conf().api_max_body_bytes, bytearray()
    if length <= limit:
        try:
            while len(body) <= limit and (part := stream.read(_PART_BYTES)):
                body += part
        except OSError:
            raise ParseError("The body ended before its time; send it again.") from None
    if length > limit or len(body) > limit:
        raise BodyTooLargeError(f"The body has more than {limit} bytes; hand in fewer records at once.")
    return bytes(body)


def read_json(body: bytes) -> Any:
    """Return the value of a JSON text. Raises ParseError, whose message never quotes the text."""
    try:
        refuse_deep(body)
        text = body.decode()
        value = json.loads(text, parse_constant=_refuse, parse_float=_float, object_pairs_hook=_object)
        if _SURROGATE.search(text):
            write_json(value)
    except json.JSONDecodeError as error:
        raise ParseError(f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from None
    except UnicodeError:
        raise ParseError("The body is not text in UTF-8, or holds half of a surrogate pair.") from None
    except ValueError as error:
        raise ParseError(f"The body is not JSON that can be kept: {error}.") from None
    return value


def write_json(value: Any) -> bytes:
    """Return a value as the bytes that are kept and sent: no spaces, UTF-8, keys in the order given."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number is too large for 64 bits")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found
