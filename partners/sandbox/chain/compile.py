"""Compiles the contracts to `compiled.json`, which is committed: a running chain needs no compiler.

Run `python -m partners.sandbox.chain.compile` after every change of a contract.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CONTRACTS = Path(__file__).parent / "contracts"
COMPILED = Path(__file__).parent / "compiled.json"
NAMES = ("DataRegistry", "TeePool", "DataLiquidityPool", "DataRefinerRegistry")


def source_hash(name: str) -> str:
    """Return the SHA-256 over a contract's source and the module that all of them share."""
    digest = hashlib.sha256()
    for path in (CONTRACTS / f"{name}.vy", CONTRACTS / "guard.vy"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def compile_all() -> dict[str, dict[str, Any]]:
    """Return {contract: {abi, bytecode, source_sha256}}; needs vyper, which only the dev set has."""
    from vyper.cli.vyper_compile import compile_files

    outputs = compile_files([CONTRACTS / f"{name}.vy" for name in NAMES], ["abi", "bytecode"], paths=[str(CONTRACTS)])
    by_name = {Path(path).stem: output for path, output in outputs.items()}
    return {
        name: {
            "source_sha256": source_hash(name),
            "abi": by_name[name]["abi"],
            "bytecode": by_name[name]["bytecode"],
        }
        for name in NAMES
    }


def load() -> dict[str, dict[str, Any]]:
    """Return what was compiled and committed."""
    compiled: dict[str, dict[str, Any]] = json.loads(COMPILED.read_text())
    return compiled


def dumps(compiled: dict[str, dict[str, Any]]) -> str:
    """Return the text of `compiled.json`, one ABI entry a line so that changes can be read."""
    blocks = []
    for name, contract in compiled.items():
        abi = ",\n".join(f"   {json.dumps(entry)}" for entry in contract["abi"])
        blocks.append(
            f' "{name}": {{\n  "source_sha256": "{contract["source_sha256"]}",\n'
            f'  "bytecode": "{contract["bytecode"]}",\n  "abi": [\n{abi}\n  ]\n }}'
        )
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def main(argv: Sequence[str]) -> None:
    """Write `compiled.json` anew, or the file that is named."""
    target = Path(argv[0]) if argv else COMPILED
    target.write_text(dumps(compile_all()))


if __name__ == "__main__":
    main(sys.argv[1:])
