"""What benchmarks/retry.py has a process of its own do: fill a database with failures, or count those that are left.

The database's address is in DATABASE_URL; the answer is one line of JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import timedelta

ERROR = "akave: upload: HTTP 503 from the storage; it is tried again later"
_PAGE = 2000


def main(argv: Sequence[str]) -> int:
    """Do `fill FAILURES` or `count`."""
    import django

    django.setup()
    act, *numbers = argv
    found = fill(int(numbers[0])) if act == "fill" else count()
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def fill(failures: int) -> str:
    """Make the tables, pause the partners, and write so many failures past ingest; return an API key."""
    from django.core.management import call_command
    from django.db import connection

    from dataunion import roster
    from dataunion.access import make_key

    call_command("migrate", verbosity=0)
    for row in roster.find_partners():
        roster.pause(row, reason="only the retry is measured", by="bench")
    for start in range(0, failures, _PAGE):
        _write(range(start, min(start + _PAGE, failures)))
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")  # as its autovacuum does after a while
    return make_key(name="bench", scopes=["admin"])[1]


def _write(numbers: Sequence[int]) -> None:
    """Write records that Akave failed to take after twelve attempts each."""
    from dataunion.causes import name_cause
    from dataunion.clock import db_now
    from dataunion.models import DataUnion, SyncJob
    from dataunion.state import PartnerEntry, Status

    at = db_now() - timedelta(hours=1)
    entry = {"akave": PartnerEntry(error_message=ERROR, fence=1, attempts=12).dump()}
    times = {"created_at": at, "updated_at": at}
    records = [
        DataUnion(user_hash=f"user-{n % 5000}", data_type="health", data_id=f"failed-{n}", partners=entry, **times)
        for n in numbers
    ]
    facts = {"partner": "akave", "data_type": "health", "status": Status.FAILED, "step": "upload", "attempts": 12}
    error = {"error_class": "transient", "error_message": ERROR, "cause": name_cause(ERROR), "runs": 12}
    moments = {"due_at": at, "created_at": at, "changed_at": at}
    jobs = [SyncJob(record=r, user_hash=r.user_hash, **facts, **error, **moments) for r in records]
    SyncJob.objects.bulk_create(jobs, batch_size=500)
    DataUnion.objects.bulk_create(records, batch_size=500)


def count() -> int:
    """Return how many still fail."""
    from dataunion.models import SyncJob

    return SyncJob.objects.failing().count()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
