"""Calls and results of a contract from its ABI, as far as the sandbox needs them: by function name, no overloads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import eth_abi
from eth_utils import keccak

Entry = Mapping[str, Any]


def type_of(field: Entry) -> str:
    """Return the canonical type of an input or output; a tuple as (a,b), also within lists."""
    if not field["type"].startswith("tuple"):
        return str(field["type"])
    inner = ",".join(type_of(component) for component in field["components"])
    return f"({inner}){field['type'].removeprefix('tuple')}"


def signature(entry: Entry) -> str:
    """Return name(type,…) of a function, event or error."""
    return f"{entry['name']}({','.join(type_of(field) for field in entry['inputs'])})"


def find(abi: Iterable[Entry], name: str) -> Entry:
    """Return the entry of a function. Raises KeyError."""
    for entry in abi:
        if entry["type"] == "function" and entry["name"] == name:
            return entry
    raise KeyError(name)


def encode_call(abi: Iterable[Entry], name: str, *args: Any) -> bytes:
    """Return the call data of a function."""
    entry = find(abi, name)
    return bytes(keccak(text=signature(entry))[:4]) + encode_args(entry, args)


def encode_args(entry: Entry, args: Sequence[Any]) -> bytes:
    """Return encoded arguments; for a constructor they go behind its bytecode."""
    return bytes(eth_abi.encode([type_of(field) for field in entry["inputs"]], list(args)))


def decode_result(abi: Iterable[Entry], name: str, data: bytes) -> tuple[Any, ...]:
    """Return what a function gave back, one element per output."""
    return tuple(eth_abi.decode([type_of(field) for field in find(abi, name)["outputs"]], data))
