"""Lists of failures and a worker's claim over many records against few, with as much open work.

`./run bench failures [--small N] [--large N] [--rounds N] [--databases …]`. Both sides are asked in turn: the lists
over HTTP, through the web server of production, the claim in a process of its own, which puts the chunk back each time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence

from benchmarks._served import Compared, Served, read_options, serve_both

_PAGES = {
    "REST: records that a partner failed to take": "/api/v1/records?partner=akave&status=failing",
    "admin: open work that failed": "/admin/dataunion/syncjob/?status=error",
    "admin: records that a partner failed to take": "/admin/dataunion/dataunion/?status=error&partner=akave",
}


def main(argv: Sequence[str]) -> int:
    """Compare on each database; print the table and the worst ratio."""
    options, compared = read_options("failures", __doc__, argv), Compared()
    questions: Mapping[str, Callable[[Served], float]] = {
        **{what: _page(path) for what, path in _PAGES.items()},
        "a worker's claim of a chunk": _claim,
    }
    for database in options.databases:
        with serve_both(database, options) as sides:
            _check_lists(sides, failures=options.open // 2)
            for what, ask in questions.items():
                compared.add(f"{database}: {what}", sides, ask, options.rounds)
    compared.tell()
    return 0


def _page(path: str) -> Callable[[Served], float]:
    return lambda side: side.get(path)[0]


def _claim(side: Served) -> float:
    seconds, jobs = side.claim()
    if not jobs:
        raise RuntimeError("nothing was claimed, though work is due")
    return seconds


def _check_lists(sides: Sequence[Served], *, failures: int) -> None:
    """Raise RuntimeError unless both sides tell as many failures of one partner, and show them."""
    shown = [json.loads(side.get(f"{_PAGES[next(iter(_PAGES))]}&limit=1000")[1])["results"] for side in sides]
    numbers = {len(results) for results in shown}
    if len(numbers) > 1 or not 0 < max(numbers) <= failures:
        raise RuntimeError(f"the sides list {sorted(numbers)} failures of one partner, of {failures} in all")
    for side in sides:
        for path in list(_PAGES.values())[1:]:
            if b"HTTP 503" not in side.get(path)[1]:
                raise RuntimeError(f"{path} shows no failure")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
