"""JSON-RPC to an EVM node: calls, batches, and what a node's errors mean. Knows no contract."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from partners.answers import Response, check_status
from partners.errors import MisconfiguredError, PartnerError, PermanentError, TransientError
from partners.http import HttpClient

Call = tuple[str, list[Any]]

METHOD_NOT_FOUND, LIMIT_EXCEEDED = -32601, -32005
REVERT_CODE = 3  # geth's code for a reverted call
BATCH_SIZE = 50  # public nodes refuse long batches


class RpcError(Exception):
    """The node's answer is an error. `data` is the revert's data: 0x + hex, or empty."""

    def __init__(self, method: str, error: Any) -> None:
        told = error if isinstance(error, dict) else {"message": str(error)}
        self.method = method
        self.code = told.get("code")
        self.text = _shorten(str(told.get("message", "no message")))
        self.data = _revert_data(told.get("data"))
        super().__init__(f"{method}: {self.text}")

    @property
    def is_revert(self) -> bool:
        """Say whether a contract refused, rather than the node."""
        return self.code == REVERT_CODE or "revert" in self.text.lower() or self.data != ""


class Rpc:
    """One node. Thread-safe."""

    def __init__(self, http: HttpClient, url: str, partner: str) -> None:
        self._http, self._url, self._partner = http, url, partner
        self._ids = itertools.count(1)

    def call(self, method: str, *params: Any, unknown_on_lost: bool = False) -> Any:
        """Ask one thing. Raises RpcError where the node says no, else what HttpClient raises."""
        body = self._body(method, list(params))
        answer = self._post(body, method, unknown_on_lost=unknown_on_lost)
        return self._result(self._object(answer, method), method)

    def batch(self, calls: Sequence[Call], *, unknown_on_lost: bool = False) -> list[Any]:
        """Ask several things in one request; the answers in the same order, each an RpcError where the node says no."""
        found: list[Any] = []
        for start in range(0, len(calls), BATCH_SIZE):
            found += self._batch(calls[start : start + BATCH_SIZE], unknown_on_lost=unknown_on_lost)
        return found

    def ask(self, calls: Sequence[Call]) -> list[Any]:
        """Ask as `batch` does; raise the first RpcError."""
        found = self.batch(calls)
        for answer in found:
            if isinstance(answer, RpcError):
                raise answer
        return found

    def decide(self, error: RpcError) -> PartnerError:
        """Return the decision for an error that no caller knows better: the node refused, so try again later."""
        where = f"{self._partner}: {error.method}"
        if error.code == METHOD_NOT_FOUND:
            return MisconfiguredError(f"{where}: this node does not know the method; use another rpc_url")
        return TransientError(f"{where}: the node answered {error.text!r}", code=str(error.code or ""))

    def _batch(self, calls: Sequence[Call], *, unknown_on_lost: bool) -> list[Any]:
        if len(calls) == 1:
            return [self._one(*calls[0], unknown_on_lost=unknown_on_lost)]
        bodies = [self._body(method, params) for method, params in calls]
        name = calls[0][0]
        answers = self._post(bodies, name, unknown_on_lost=unknown_on_lost).json()
        if not isinstance(answers, list):
            return [self._result(answers if isinstance(answers, dict) else {}, name)] * len(calls)
        by_id = {answer.get("id"): answer for answer in answers if isinstance(answer, dict)}
        return [self._kept(by_id.get(body["id"], {}), method) for body, (method, _) in zip(bodies, calls, strict=True)]

    def _one(self, method: str, params: list[Any], *, unknown_on_lost: bool) -> Any:
        try:
            return self.call(method, *params, unknown_on_lost=unknown_on_lost)
        except RpcError as error:
            return error

    def _kept(self, answer: dict[str, Any], method: str) -> Any:
        try:
            return self._result(answer, method)
        except RpcError as error:
            return error

    def _body(self, method: str, params: list[Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}

    def _post(self, body: Any, method: str, *, unknown_on_lost: bool) -> Response:
        answer = self._http.request(
            "POST", self._url, json=body, step=method, unknown_on_lost=unknown_on_lost, check_status=False
        )
        if answer.status in (400, 500) and b'"jsonrpc"' in answer.body:
            return answer  # some nodes say no in HTTP as well
        try:
            check_status(answer.status, answer.headers, answer.source, datetime.now(UTC))
        except PermanentError as error:
            raise TransientError(f"{error.message}; check rpc_url", http_status=answer.status) from None
        return answer

    def _object(self, answer: Response, method: str) -> dict[str, Any]:
        value = answer.json()
        if not isinstance(value, dict):
            raise TransientError(f"{self._partner}: {method}: the node answered no JSON-RPC object; check rpc_url")
        return value

    def _result(self, answer: dict[str, Any], method: str) -> Any:
        if answer.get("error") is not None:
            error = RpcError(method, answer["error"])
            if error.code == LIMIT_EXCEEDED:
                raise self.decide(error)
            raise error
        if "result" not in answer:
            raise TransientError(f"{self._partner}: {method}: the node answered neither result nor error")
        return answer["result"]


def _shorten(text: str) -> str:
    """Return a node's message without what it may quote: raw transactions, call data, long names."""
    return re.sub(r"(0x)?[0-9a-fA-F]{41,}", "…", text)[:160]


def _revert_data(data: Any) -> str:
    """Find the revert's bytes; nodes put them at `data`, `data.data`, or `data.<something>.return`."""
    while isinstance(data, dict):
        data = data.get("data") or data.get("result") or next(iter(data.values()), None)
    if isinstance(data, str):
        match = re.search(r"0x[0-9a-fA-F]*", data)
        return match.group() if match else ""
    return ""
