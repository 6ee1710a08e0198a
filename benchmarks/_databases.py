"""What benchmarks/databases.py has a process of its own do on one database: work jobs off, or tell the plans.

The database's address is in DATABASE_URL; the answer is one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

CHUNK = 50  # as DATAUNION_SYNC_CHUNK
_KEYS = ("sqlite_autoindex_", "_id_")


def main(argv: Sequence[str]) -> int:
    """Do `fill N`, `work` or `plans`."""
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.test.utils import setup_test_environment

    setup_test_environment()
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
    call_command("migrate", verbosity=0)
    act, *rest = argv
    found = fill(int(rest[0])) if act == "fill" else work() if act == "work" else read_plans()
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def fill(number: int) -> int:
    """Make records that one partner does not have; return how many."""
    from dataunion import roster
    from dataunion.models import DataUnion, Partner, SyncJob
    from dataunion.state import PartnerEntry

    roster.find_partners()
    Partner.objects.update(max_in_flight=10_000, per_second=0.0)
    entry = {"akave": PartnerEntry().dump()}
    records = [DataUnion(user_hash="bench", data_type="health", data_id=str(n), partners=entry) for n in range(number)]
    DataUnion.objects.bulk_create(records, batch_size=500)
    jobs = [SyncJob(record=r, partner="akave", user_hash="bench", data_type="health") for r in records]
    SyncJob.objects.bulk_create(jobs, batch_size=500)
    return number


def work() -> tuple[int, float]:
    """Claim and complete chunks until there is none; return how many jobs in how many seconds."""
    from dataunion import claims
    from dataunion.clock import db_now
    from dataunion.endings import Ending
    from dataunion.models import SyncJob
    from dataunion.state import Attempt, Outcome, Status

    done, begin = 0, time.perf_counter()
    while SyncJob.objects.exists():
        jobs = claims.claim("akave", limit=CHUNK)
        now = db_now()
        attempt = Attempt(
            outcome=Outcome.SYNCED,
            number=1,
            step="store",
            started_at=now.isoformat(),
            duration_ms=1,
            trigger="ingest",
        )
        ending = Ending(
            status=Status.DONE, due_at=now, attempt=attempt, receipt={"url": "https://a.example/o"}, refs=[("key", "k")]
        )
        done += len(claims.settle([(job, ending) for job in jobs], now))
    return done, time.perf_counter() - begin


def read_plans() -> dict[str, str]:
    """Return by which indexes each hot question is answered, as the tests read it."""
    from tests.suites.plans import recorded
    from tests.suites.questions import NEWEST, QUESTIONS, TABLES
    from tests.suites.questions import fill as fill_union

    fill_union()
    found = {}
    for name, ask in {**QUESTIONS, **NEWEST}.items():
        with recorded() as statements:
            ask()
        names = [_word(part) for one in statements if one.table in TABLES for part in one.read_plan()]
        found[name] = " ".join(dict.fromkeys(names))
    return found


def _word(name: str) -> str:
    return "key" if name.startswith(_KEYS) or name.endswith("_pkey") else name


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
