"""Fills an empty database, the one that DATABASE_URL names, with a large union, to look at or to measure.

`DATABASE_URL=sqlite:////tmp/large.sqlite3 ./run bench rows [--records 200000] [--failures 20000] [--waiting 0]`
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Fill it, and tell how far it is."""
    parser = argparse.ArgumentParser(prog="./run bench rows", description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=200_000, help="(200000)")
    parser.add_argument("--failures", type=int, default=20_000, help="of them (20000)")
    parser.add_argument("--waiting", type=int, default=0, help="of them, due at Akave (0)")
    options = parser.parse_args(argv)
    if not (os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE")):
        parser.error("Name the empty database to be filled in DATABASE_URL, as sqlite:////tmp/large.sqlite3")
    if min(options.failures, options.waiting) < 0 or options.failures + options.waiting > options.records:
        parser.error("each record fails, waits or is synced")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dataunion_project.settings")
    import django

    django.setup()
    from django.core.management import call_command

    from benchmarks._rows import fill

    call_command("migrate", verbosity=0)
    begin = time.monotonic()
    try:
        for told in fill(records=options.records, failures=options.failures, waiting=options.waiting):
            sys.stderr.write(f"\r{told:<40}")
            sys.stderr.flush()
    except ValueError as error:
        parser.error(str(error))
    print(f"\n{options.records:,} records, {options.failures:,} failures in {time.monotonic() - begin:.0f} s")
    return 0
