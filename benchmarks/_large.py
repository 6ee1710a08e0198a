"""What _served.py has a process of its own do on a large union: fill the database, and claim chunks when it is asked.

The database's address is in DATABASE_URL; each answer is one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Do `fill RECORDS FAILURES WAITING`, or `claims`."""
    act, *rest = argv
    if act == "fill":
        print(json.dumps(fill(*rest)))
        return 0
    import django

    django.setup()
    for _ in sys.stdin:
        print(json.dumps(claim()), flush=True)
    return 0


def fill(records: str, failures: str, waiting: str) -> dict[str, str]:
    """Fill the database; return an API key, and the session cookie of an administrator."""
    from benchmarks import rows

    status = rows.main(["--records", records, "--failures", failures, "--waiting", waiting])
    if status:
        raise SystemExit(status)
    from django.test import Client

    from dataunion import access
    from dataunion.models import User

    client = Client()
    client.force_login(User.objects.create_superuser("bench", password=None))
    [cookie] = client.cookies.values()
    key = access.make_key(name="bench", scopes=["admin"])[1]
    return {"key": key, "cookie": f"{cookie.key}={cookie.value}"}


def claim() -> tuple[float, int]:
    """Claim a chunk as a worker does, and put it back; return how many seconds the claim took, and of how many jobs."""
    from dataunion import claims
    from dataunion.clock import db_now
    from dataunion.conf import conf

    begin = time.perf_counter()
    jobs = claims.claim("akave", limit=conf().sync_chunk)
    seconds = time.perf_counter() - begin
    claims.let_go(jobs, db_now())
    return seconds, len(jobs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
