"""How much is synced: counts that cost open work and counters, never the number of records.

Ingest adds nothing here: a new record bears `counted = 0` and so is its own delta. `fold` gives new records the number
of a fold and adds them to the counters in one conditional write; a total is the counters plus what no fold has
applied yet. What a backfill enrolled later bears its mark, and is counted by the backfill's row alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, Max, Min, Sum

from dataunion import roster
from dataunion.models import Backfill, Counters, DataUnion, HourStat, SyncAttempt, SyncJob
from dataunion.state import CLAIMABLE, FAILING, Outcome, Status

FOLD = 5000  # records that one fold counts at most
Group = tuple[str, str, str, str]  # partner, data type, outcome, error class
_OPEN_HOUR = timedelta(minutes=5)
BOUNDS_MS = (10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)


@dataclass(frozen=True, kw_only=True)
class PartnerTotals:
    """One partner's counts of records."""

    enrolled: int
    synced: int
    failed: int  # retrying, failed or blocked
    pending: int


@dataclass(frozen=True, kw_only=True)
class Totals:
    """All counts at one moment."""

    records: int
    partners: dict[str, PartnerTotals]


@dataclass
class Queue:
    """One partner's open work."""

    counts: Counter[str] = field(default_factory=Counter)
    oldest_due: datetime | None = None

    @property
    def waiting(self) -> int:
        """Return how many are on their way, without an error so far."""
        return self.counts[Status.PENDING] + self.counts[Status.RUNNING]

    @property
    def failed(self) -> int:
        """Return how many are not synced because of an error."""
        return sum(self.counts[status] for status in FAILING)


def success_rate(synced: int, total: int) -> int:
    """Return an integer per cent, half rounded up; 0 when there is nothing."""
    return (synced * 200 + total) // (2 * total) if total else 0


def read_totals() -> Totals:
    """Return the counts of every partner that is not off."""
    names = [row.name for row in roster.find_active()]
    with transaction.atomic():
        added = read_added()
        work = _read_open_work(names)
    partners = {}
    for name in names:
        enrolled = sum(added["enrolled"].get(name, {}).values())
        failed = sum(work[name, s] for s in FAILING)
        # Whatever else is open, also in a status that only a newer version knows, is not synced yet.
        pending = sum(n for (partner, _), n in work.items() if partner == name) - failed
        synced = max(0, enrolled - failed - pending)
        partners[name] = PartnerTotals(enrolled=enrolled, synced=synced, failed=failed, pending=pending)
    return Totals(records=added["records"], partners=partners)


def _read_open_work(names: Iterable[str]) -> Counter[tuple[str, str]]:
    rows = (
        SyncJob.objects.filter(partner__in=list(names))
        .exclude(status=Status.DONE)
        .values_list("partner", "status")
        .annotate(n=Count("pk"))
        .order_by()
    )
    return Counter({(partner, status): n for partner, status, n in rows})


def count_open_of_run(run: Backfill) -> tuple[int, int]:
    """Return how many of what a backfill enrolled are on their way, and failed; not what a retry run took."""
    jobs = SyncJob.objects.filter(run=run.pk, status__in=[*FAILING, *CLAIMABLE, Status.RUNNING])
    counts = Counter(dict(jobs.values_list("status").annotate(n=Count("pk")).order_by()))
    failed = sum(counts[status] for status in FAILING)
    return counts.total() - failed, failed


def read_daily(partner: str, now: datetime) -> float:
    """Return how many records a day the partner has taken lately: of a week, or of as long as it has taken any."""
    hours = HourStat.objects.filter(hour__gte=now - timedelta(days=7), partner=partner, outcome=Outcome.SYNCED)
    found = hours.aggregate(n=Sum("count"), first=Min("hour"))
    if not found["n"]:
        return 0.0
    days: float = (now - found["first"]).total_seconds() / 86_400
    return float(found["n"]) / max(1.0, days)


def read_waits(partner: str, now: datetime) -> list[tuple[str, int]]:
    """Return what the partner's work waits for, and how much of it; most first, a few."""
    rows = SyncJob.objects.waiting(partner, now).values_list("waits_for").annotate(n=Count("pk"))
    return sorted(rows.order_by(), key=lambda row: -row[1])[:5]


def read_queues(now: datetime) -> dict[str, Queue]:
    """Return the open work of each partner that has any, by name."""
    queues: dict[str, Queue] = {}
    names = [row.name for row in roster.find_partners(make=False)]
    for (partner, status), n in _read_open_work(names).items():
        queues.setdefault(partner, Queue()).counts[status] += n
    for partner, oldest in read_oldest_due(now).items():
        queues.setdefault(partner, Queue()).oldest_due = oldest
    return queues


def read_oldest_due(now: datetime) -> dict[str, datetime]:
    """Return since when each partner's oldest due job has been due; only partners that have one."""
    due = SyncJob.objects.filter(status__in=CLAIMABLE, due_at__lte=now).values_list("partner")
    return dict(due.annotate(oldest=Min("due_at")).order_by())


def read_added() -> dict[str, Any]:
    """Return all records and enrolments, as Counters.counts has them.

    That is the counters plus the records that no fold has applied, read again when a fold or recount came between, and
    what backfills have enrolled.
    """
    while True:
        row = read_counters()
        # Two questions, since each is one range of an index. What a fold numbers in between is in both, so go by key.
        # The range begins at a number: above one, SecantusDB walks over all that bear it.
        unapplied = (DataUnion.objects.filter(counted=0), DataUnion.objects.filter(counted__gte=row.applied + 1))
        fresh = {pk: rest for rows in unapplied for pk, *rest in rows.values_list("pk", "data_type", "partners")}
        total = add_up(row.counts, ((data_type, partners) for data_type, partners in fresh.values()))
        if Counters.objects.filter(pk=row.pk, applied=row.applied, recounts=row.recounts).exists():
            return _add_later(total)


def _add_later(counts: dict[str, Any]) -> dict[str, Any]:
    for run in Backfill.objects.all():
        types = counts["enrolled"].setdefault(run.partner, {})
        for data_type, n in (Counter(run.enrolled) + _count_page(run)).items():
            types[data_type] = types.get(data_type, 0) + n
    return counts


def _count_page(run: Backfill) -> Counter[str]:
    """Count the page in work, which the backfill's row does not hold yet."""
    if run.page == run.cursor:
        return Counter()
    rows = DataUnion.objects.filter(pk__gt=run.cursor, pk__lte=run.page).values_list("data_type", "partners")
    return count_later(run, rows)


def count_later(run: Backfill, records: Iterable[tuple[str, Mapping[str, Any]]]) -> Counter[str]:
    """Count those of these records (data type, entries) that this backfill has enrolled, by type."""
    mark = str(run.pk)
    return Counter(kind for kind, partners in records if partners.get(run.partner, {}).get("backfill") == mark)


def read_counters() -> Counters:
    """Return the row of counters; made where there is none."""
    row = Counters.objects.filter(name="ingest").first()
    if row is None:
        try:
            return Counters.objects.create(name="ingest", counts={"records": 0, "enrolled": {}})
        except IntegrityError:
            return Counters.objects.get(name="ingest")
    return row


def add_up(counts: dict[str, Any], records: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return `counts` with these records (data type, entries) added, as they came in."""
    enrolled = {name: dict(types) for name, types in counts["enrolled"].items()}
    total = counts["records"]
    for data_type, partners in records:
        total += 1
        for name in (name for name, entry in partners.items() if "backfill" not in entry):
            types = enrolled.setdefault(name, {})
            types[data_type] = types.get(data_type, 0) + 1
    return {"records": total, "enrolled": enrolled}


def fold() -> int:
    """Add new records to the counters; return how many. Run under a task's lease, again after a crash is harmless."""
    read_counters()
    with transaction.atomic():
        row = read_counters()
        number = row.applied + 1
        ids = list(DataUnion.objects.filter(counted=0).values_list("pk", flat=True)[:FOLD])
        DataUnion.objects.filter(pk__in=ids, counted=0).update(counted=number)
        # Records that a fold which died had numbered are among them.
        numbered = list(DataUnion.objects.filter(counted=number).values_list("data_type", "partners"))
        if not numbered:
            return 0
        counts = add_up(row.counts, numbered)
        same = Counters.objects.filter(pk=row.pk, applied=row.applied, recounts=row.recounts)
        same.update(applied=number, counts=counts)
    return len(numbered)


def roll_up(now: datetime) -> None:
    """Write the hours' statistics anew, from the last hour that was written; hours without attempts cost nothing."""
    last = HourStat.objects.aggregate(last=Max("hour"))["last"]
    if last is not None and last > now - _OPEN_HOUR:  # the hour before may still have grown, or the clock went back
        last = now - timedelta(hours=1)
    begin = last or now - timedelta(days=1)
    while True:
        first = SyncAttempt.objects.filter(created_at__gte=begin).aggregate(first=Min("created_at"))["first"]
        if first is None:
            return
        hour = first.replace(minute=0, second=0, microsecond=0)
        _roll_up_hour(hour)
        begin = hour + timedelta(hours=1)


def _roll_up_hour(hour: datetime) -> None:
    for group, durations in count_attempts(hour).items():
        write_hour(hour, group, durations)


def count_attempts(hour: datetime) -> dict[Group, dict[str, int]]:
    """Return the attempts of an hour by group and by the bound of their duration, as HourStat holds them."""
    groups: dict[Group, Counter[str]] = {}
    rows = SyncAttempt.objects.filter(created_at__gte=hour, created_at__lt=hour + timedelta(hours=1))
    fields = ("partner", "data_type", "outcome", "error_class", "duration_ms")
    for partner, data_type, outcome, error_class, ms in rows.values_list(*fields).iterator(2000):
        groups.setdefault((partner, data_type, outcome, error_class), Counter())[find_bound(ms)] += 1
    return {group: dict(durations) for group, durations in groups.items()}


def find_bound(duration_ms: int) -> str:
    """Return the name under which an hour counts a duration: its upper bound, or "more"."""
    return next((str(bound) for bound in BOUNDS_MS if duration_ms <= bound), "more")


def write_hour(hour: datetime, group: Group, durations: dict[str, int]) -> None:
    """Store the count of one group of an hour in place of what stood there."""
    partner, data_type, outcome, error_class = group
    HourStat.objects.update_or_create(
        hour=hour,
        partner=partner,
        data_type=data_type,
        outcome=outcome,
        error_class=error_class,
        defaults={"count": sum(durations.values()), "durations": durations},
    )
