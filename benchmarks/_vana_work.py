"""What benchmarks/_vana.py has a process of its own do: hand records in and wait until Vana has each.

The address of the union's database is in DATABASE_URL; the answer is one line of JSON.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Sequence

PAYLOAD_BYTES = 4096
PATH_CHARS = 75  # as long as an object's name at Akave is
POLL_S = 0.1


def payload(number: int) -> bytes:
    """Return a record's data."""
    return f"{number:08d}".encode() * (PAYLOAD_BYTES // 8)


def record_key(number: int) -> str:
    """Return the key under which it lies at Akave."""
    return "0x" + hashlib.sha256(f"record {number}".encode()).hexdigest()


def path(number: int) -> str:
    """Return the path of its object's URL."""
    return f"/{number:0{PATH_CHARS - 1}d}"


def main(argv: Sequence[str]) -> int:
    """Do `prepare`, or `sync N URL SECONDS`."""
    import django
    from django.core.management import call_command

    django.setup()
    act, *rest = argv
    found: dict[str, object] = {}
    if act == "prepare":
        call_command("migrate", verbosity=0)
    else:
        found = sync(int(rest[0]), rest[1], float(rest[2]))
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def sync(number: int, files_url: str, within_s: float) -> dict[str, object]:
    """Hand in records that Akave has already; wait until no work is open, and return when that was, and the receipts.

    Times are seconds since 1970. Raises RuntimeError for what is not synced in time.
    """
    from dataunion import ingest
    from dataunion.models import DataUnion, SyncJob
    from dataunion.state import Known, Status

    def at_akave(n: int) -> Known:
        receipt, saved = {"url": files_url + path(n)}, {"record_key": record_key(n)}
        return Known(status=Status.DONE, receipt=receipt, saved=saved)

    begun_at = time.time()
    news = [
        ingest.NewRecord(
            user_hash="bench", data_type="health", data_id=str(n), payload=payload(n), known={"akave": at_akave(n)}
        )
        for n in range(number)
    ]
    for start in range(0, number, 1000):
        ingest.register_records(news[start : start + 1000])
    handed_in_at = time.time()
    while SyncJob.objects.exists():
        if time.time() - begun_at > within_s:
            raise RuntimeError(_describe_open())
        time.sleep(POLL_S)
    receipts = [record.entry("vana").receipt for record in DataUnion.objects.all()]
    return {"begun_at": begun_at, "handed_in_at": handed_in_at, "ended_at": time.time(), "receipts": receipts}


def _describe_open() -> str:
    from collections import Counter

    from dataunion.models import SyncJob

    rows = SyncJob.objects.values_list("status", "step", "error_message", "waits_for")
    return f"open at the end: {dict(Counter(rows))}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
