"""Runs one of them: `python -m benchmarks chain-behaviours` calls main() of chain_behaviours.py."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path


def names() -> list[str]:
    """Return what can be run, as it is typed."""
    found = Path(__file__).parent.glob("[a-z]*.py")
    return sorted(path.stem.replace("_", "-") for path in found)


def main(argv: Sequence[str]) -> int:
    """Run the one that the first argument names with the others; return its exit status."""
    if not argv or argv[0] not in names():
        asked = f"There is no {argv[0]!r}. " if argv else ""
        sys.stderr.write(f"{asked}Run ./run bench NAME with one of: {', '.join(names())}\n")
        return 2
    module = importlib.import_module(f"benchmarks.{argv[0].replace('-', '_')}")
    return int(module.main(argv[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
