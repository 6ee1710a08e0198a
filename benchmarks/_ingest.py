"""What benchmarks/ingest.py has processes of its own do: make the database and a key, or insert copies of rows.

The database's address is in DATABASE_URL; the answer is one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from itertools import count
from typing import Any

Rows = tuple[list[Any], list[list[Any]], list[Any]]  # jobs, each kind of data, records: the order of ingest


def main(argv: Sequence[str]) -> int:
    """Do `prepare` or `copy BATCHES ROWS`."""
    import django

    django.setup()
    act, *numbers = argv
    found = prepare() if act == "prepare" else copy(*map(int, numbers))
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def prepare() -> str:
    """Make the tables and the partners; return an API key."""
    from django.core.management import call_command

    from dataunion import roster
    from dataunion.access import make_key

    call_command("migrate", verbosity=0)
    roster.find_partners()
    return make_key(name="bench", scopes=["ingest"])[1]


def copy(batches: int, size: int) -> list[float]:
    """Insert copies of the newest `size` records with all their rows, again and again; return seconds a batch.

    Only bulk_create and the commit are counted, not the making of the objects.
    """
    from django.db import transaction

    from dataunion.models import PAYLOADS, DataUnion, SyncJob

    newest = list(DataUnion.objects.order_by("-pk")[:size])
    pks = [record.pk for record in newest]
    jobs = list(SyncJob.objects.filter(record_id__in=pks))
    data = [list(model._default_manager.filter(pk__in=pks)) for model in PAYLOADS.values()]
    seconds = []
    for _ in range(batches):
        _rename((jobs, data, newest))
        began = time.perf_counter()
        with transaction.atomic():
            SyncJob.objects.bulk_create(jobs)
            for model, rows in zip(PAYLOADS.values(), data, strict=True):
                model._default_manager.bulk_create(rows)
            DataUnion.objects.bulk_create(newest)
        seconds.append(time.perf_counter() - began)
    return seconds


def _rename(rows: Rows) -> None:
    """Give every row a key of its own, in the order of time as ingest does, and every record a new reference."""
    jobs, data, records = rows
    numbers = count(time.time_ns())
    renamed = {record.pk: (type(record)._meta.pk.get_default(), f"copy-{next(numbers)}") for record in records}
    for record in [*records, *(row for kind in data for row in kind)]:
        record.pk, record.data_id = renamed[record.pk]
    for job in jobs:
        job.pk, job.record_id = type(job)._meta.pk.get_default(), renamed[job.record_id][0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
