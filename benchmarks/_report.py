"""How a benchmark tells what it found: the machine, the parts, and one ratio in the last line."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path


def tell_progress(line: str) -> None:
    """Say how far it is; not part of the result."""
    print(line, file=sys.stderr, flush=True)


def tell_machine() -> None:
    """Print what it ran on, and how busy that was with other work."""
    found = [line.partition(":")[2].strip() for line in _read("/proc/cpuinfo") if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    chip = found[0] if found else platform.machine()
    print(f"machine: {cores} cores of {chip}; {platform.system()} {platform.release()};", end=" ")
    print(f"Python {platform.python_version()}; load {os.getloadavg()[0]:.1f} at the end", flush=True)


def tell_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print the parts as a table of Markdown."""
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def tell_ratio(ratio: float) -> None:
    """Print the last line."""
    print(f"ratio: {ratio:.2f}", flush=True)


def _read(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []
