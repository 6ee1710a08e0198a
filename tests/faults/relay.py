"""A relay between us and the chain's node: it spoils some answers, as gateways do, or has several nodes behind it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any
from urllib.parse import urlsplit

from tests.flows.sandboxes import FINALIZED_DEPTH

Answer = tuple[int, bytes]  # status, body
Spoil = Callable[[Answer], Answer]


class Relay:
    """Listens at `url`; spoils one request in `every`, `times` in all."""

    def __init__(self, node_url: str) -> None:
        self._node = urlsplit(node_url).netloc
        self._lock = threading.Lock()
        self._spoil: Spoil | None = None
        self._every, self._times, self._seen = 1, 0, 0
        self._behind, self._head, self._random = 0, lambda: 0, Random(1)
        self.spoiled = self.late = 0
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = relay._answer(body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                """Keep the output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def spoil(self, spoil: Spoil, *, every: int = 1, times: int = 1_000_000) -> None:
        """Spoil from now on."""
        with self._lock:
            self._spoil, self._every, self._times, self._seen = spoil, every, times, 0

    def balance(self, head: Callable[[], int], *, behind: int) -> None:
        """Let half of the requests go to a node so many blocks behind, which knows no mempool, but broadcasts."""
        self._head, self._behind = head, behind

    def _answer(self, body: bytes) -> Answer:
        with self._lock:
            is_late = self._behind and self._random.random() < 0.5
            self.late += bool(is_late)
        if not is_late:
            return self._spoiled(self._forward(body))
        old = self._head() - self._behind
        asked, told = json.loads(body), self._forward(_ask_old(json.loads(body), old))
        return told[0], _see_old(asked, json.loads(told[1]), old)

    def _forward(self, body: bytes) -> Answer:
        connection = HTTPConnection(self._node, timeout=30)
        try:
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            told = connection.getresponse()
            return told.status, told.read()
        finally:
            connection.close()

    def _spoiled(self, answer: Answer) -> Answer:
        with self._lock:
            self._seen += 1
            if self._spoil is None or self._times <= 0 or self._seen % self._every:
                return answer
            self._times -= 1
            self.spoiled += 1
            return self._spoil(answer)


NOT_YET = 2**40  # a block that no node has
_TAG_AT = {"eth_call": 1, "eth_estimateGas": 1, "eth_getTransactionCount": 1, "eth_getBalance": 1, "eth_getCode": 1}
_TAG_AT |= {"eth_getBlockByNumber": 0}


def _ask_old(asked: Any, old: int) -> bytes:
    """Ask for block `old` where the latest one is asked for, and for one below it where that is final."""
    for call in asked if isinstance(asked, list) else [asked]:
        at = _TAG_AT.get(call["method"])
        if at is None:
            continue
        tag = (call["params"] + ["latest"])[at]
        call["params"] = [*call["params"][:at], _old_tag(tag, old), *call["params"][at + 1 :]]
    return json.dumps(asked).encode()


def _old_tag(tag: str, old: int) -> str:
    named = {"latest": old, "pending": old, "finalized": old - FINALIZED_DEPTH}
    number = named[tag] if tag in named else int(tag, 16)
    return hex(number if number <= old else NOT_YET)


def _see_old(asked: Any, told: Any, old: int) -> bytes:
    """Hide what came after block `old`."""
    methods = {call["id"]: call["method"] for call in (asked if isinstance(asked, list) else [asked])}
    for one in told if isinstance(told, list) else [told]:
        method, result = methods.get(one.get("id"), ""), one.get("result")
        if method == "eth_blockNumber":
            one["result"] = hex(old)
        elif method in ("eth_getTransactionReceipt", "eth_getTransactionByHash") and result:
            number = result["blockNumber"]
            one["result"] = result if number and int(number, 16) <= old else None
    return json.dumps(told).encode()


def on_chain(chain_id: int) -> Spoil:
    """Make each answer that is the chain's id say this one."""

    def spoil(answer: Answer) -> Answer:
        told = json.loads(answer[1])
        if isinstance(told, dict) and told.get("result") == hex(14800):
            told["result"] = hex(chain_id)
        return answer[0], json.dumps(told).encode()

    return spoil


def nulls(answer: Answer) -> Answer:
    """Make every result null."""
    told = json.loads(answer[1])
    many = told if isinstance(told, list) else [told]
    emptied: list[dict[str, Any]] = [{"jsonrpc": "2.0", "id": one.get("id"), "result": None} for one in many]
    return 200, json.dumps(emptied if isinstance(told, list) else emptied[0]).encode()


SPOILS: dict[str, Spoil] = {
    "429": lambda answer: (429, b'{"error": "too many requests"}'),
    "500": lambda answer: (500, b'{"error": "internal error"}'),
    "html": lambda answer: (200, b"<!doctype html><title>Sign in</title>"),
    "truncated": lambda answer: (200, answer[1][: len(answer[1]) // 2]),
    "nulls": nulls,
    "empty": lambda answer: (200, b"{}"),
}
