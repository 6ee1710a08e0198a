"""What _workers.py has a process of its own do: hand records in, be the clock until all are synced, compare.

The database, broker and storage are those of the environment; the answer is one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

PAYLOAD_BYTES = 4096
_BATCH = 1000
_LOOK_S = 0.05


def main(argv: Sequence[str]) -> int:
    """Do `fill N`, `follow PATIENCE_S`, `follow-naive PATIENCE_S` or `compare` (the sink's objects on stdin)."""
    import django

    django.setup()
    act, *rest = argv
    acts: dict[str, Callable[[], Any]] = {
        "fill": lambda: fill(int(rest[0])),
        "follow": lambda: follow(float(rest[0])),
        "follow-naive": lambda: follow_naive(float(rest[0])),
        "compare": compare,
    }
    print(json.dumps(acts[act]()))
    return 0


def make_payload() -> bytes:
    """Return a JSON value of 4 KiB that nobody can compress to nothing."""
    head, tail = b'{"note":"', b'"}'
    room = PAYLOAD_BYTES - len(head) - len(tail)
    return head + os.urandom((room + 1) // 2).hex()[:room].encode() + tail


def fill(number: int) -> int:
    """Make the tables, and hand in so many records as the REST interface does; return how many."""
    from django.core.management import call_command

    from dataunion.ingest import NewRecord, register_records

    call_command("migrate", verbosity=0)
    for begin in range(0, number, _BATCH):
        numbers = range(begin, min(number, begin + _BATCH))
        register_records(
            [
                NewRecord(user_hash=f"user-{n % 100}", data_type="health", data_id=str(n), payload=make_payload())
                for n in numbers
            ]
        )
    return number


def follow(patience_s: float) -> dict[str, Any]:
    """Tick as beat does until no job is open or the time is up; return {"ended_at"} by the monotonic clock, "left"."""
    from dataunion.conf import conf
    from dataunion.models import SyncJob
    from dataunion.sync import tick

    give_up_at, next_tick = time.monotonic() + patience_s, 0.0
    while SyncJob.objects.exists() and time.monotonic() < give_up_at:
        if time.monotonic() >= next_tick:
            tick.tick()
            next_tick = time.monotonic() + conf().sync_tick_s
        time.sleep(_LOOK_S)
    return {"ended_at": time.monotonic(), "left": SyncJob.objects.count()}


def follow_naive(patience_s: float) -> dict[str, Any]:
    """Wait until naive.py's queue is empty and its last record saved; return as `follow` does."""
    from django.conf import settings
    from redis import Redis

    from dataunion.models import DataUnion

    unsynced = DataUnion.objects.filter(partners__akave__is_synced=False)
    give_up_at = time.monotonic() + patience_s
    with Redis.from_url(settings.BROKER_URL) as broker:
        while (broker.llen("celery") or unsynced.exists()) and time.monotonic() < give_up_at:
            time.sleep(_LOOK_S)
    return {"ended_at": time.monotonic(), "left": unsynced.count()}


def compare() -> dict[str, int]:
    """Compare what records say of their objects with what the sink tells; return counts, 0 but for "synced"."""
    from dataunion.models import DataUnion

    objects: Mapping[str, tuple[str, int, int]] = json.load(sys.stdin)
    found = {"synced": 0, "unsynced": 0, "other_bytes": 0, "twice": 0, "surplus": 0}
    seen = set()
    for partners in DataUnion.objects.values_list("partners", flat=True).iterator():
        entry = partners["akave"]
        if not entry["is_synced"]:
            found["unsynced"] += 1
            continue
        path = f"/health/{entry['key']}"
        etag, _, times = objects.get(path, ("", 0, 0))
        seen.add(path)
        found["synced"] += 1
        found["other_bytes"] += etag != entry["etag"]
        found["twice"] += times > 1
    found["surplus"] = len(set(objects) - seen)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
