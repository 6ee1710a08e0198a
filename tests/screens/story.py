"""What happened in the showroom before anyone looks: a week of figures, records that arrived, and some that did not.

All is made by the running system but the week before, which is rows of a fixed seed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from dataunion import roster
from dataunion.models import ApiKey, DataUnion, Partner, RetryRun, SyncAttempt, SyncJob, User
from dataunion.state import Status
from tests import factories
from tests.admin import places
from tests.flows.house import PATIENCE_S, House, eventually
from tests.flows.sandboxes import HOOK_SECRET, Sandboxes
from tests.screens.showroom import PASSWORD, USERNAME, View

SEED = 5
ATTEMPTS = 1
# Four failures are too few to open a breaker, however many of the good calls before are forgotten by then.
HEALTHY, CHECKINS, MENDED, REFUSED_DELIVERIES, REFUSED_UPLOADS, WAITING = 20, 10, 1, 3, 4, 5
HOURS, ATTEMPTED_HOURS = 7 * 24, 24
_REFUSED = {"outcome": "transient", "error_class": "transient"}
CROWDED, MANY = "mirror", 320


@dataclass
class Desk:
    """Hands records in and waits, by REST as a service would."""

    house: House
    dice: random.Random

    def hand_in(self, first: int, count: int, data_type: str = "health") -> list[str]:
        """Hand in so many made-up records, the first with this number; return their ids."""
        return [self._hand_in(number, data_type) for number in range(first, first + count)]

    def _hand_in(self, number: int, data_type: str) -> str:
        checkin = {"mood": self.dice.choice(["calm", "tired", "cheerful"]), "sleep_hours": self.dice.randint(4, 9)}
        rate = {"heart_rate": {"value": self.dice.randint(52, 110), "unit": "beats/min"}}
        body = {
            "user_hash": f"{self.dice.getrandbits(128):032x}",
            "data_type": data_type,
            "data_id": f"{data_type}-2026-{number:04}",
            "payload": checkin if data_type == "checkin" else rate,
        }
        answer = self.house.ask("POST", "/api/v1/records", body, within_s=PATIENCE_S)
        assert answer.status == 201, answer.body
        return str(answer.json()["id"])

    def wait_for_none(self, **wanted: Any) -> None:
        """Wait until no such work is open."""
        eventually(lambda: not SyncJob.objects.filter(**wanted).exists())

    def wait_for_all(self, status: Status, **wanted: Any) -> None:
        """Wait until all such work has this status."""
        eventually(lambda: not SyncJob.objects.filter(**wanted).exclude(status=status).exists())


def tell(house: House, sandboxes: Sandboxes, *, patiently: bool) -> places.Rows:
    """Let it all happen, if `patiently` on the slow chain too; return the rows worth looking at."""
    desk = Desk(house, random.Random(SEED))
    _make_past(desk.dice)
    roster.find_partners()
    _add_hook("clinic", sandboxes, data_types=["checkin"])
    archive = _add_hook("archive", sandboxes, data_types=["health"])
    Partner.objects.update(max_attempts=ATTEMPTS, backoff_base_s=0.2, backoff_cap_s=1.0)
    desk.hand_in(1, HEALTHY)
    desk.hand_in(101, CHECKINS, "checkin")
    desk.wait_for_none(partner="archive")
    desk.wait_for_none(partner="clinic")
    desk.wait_for_none(partner="akave")
    _refuse_deliveries(desk, sandboxes, 201, MENDED)
    house.ask("POST", "/api/v1/retry-runs", {"partner": "clinic"})
    desk.wait_for_none(partner="clinic")
    _refuse_deliveries(desk, sandboxes, 301, REFUSED_DELIVERIES)
    sandboxes.arm_s3("put_502", times=ATTEMPTS * REFUSED_UPLOADS, per_subject=ATTEMPTS)
    desk.hand_in(401, REFUSED_UPLOADS)
    desk.wait_for_all(Status.FAILED, partner="akave")
    roster.pause(archive, reason="They move to another data centre until Monday.", by=USERNAME)
    desk.hand_in(501, WAITING)
    eventually(lambda: SyncJob.objects.filter(partner="akave").count() == REFUSED_UPLOADS)
    if patiently:
        eventually(lambda: SyncJob.objects.filter(partner="vana").count() <= HEALTHY, 600)
    return _choose_rows(_make_people())


def _refuse_deliveries(desk: Desk, sandboxes: Sandboxes, first: int, count: int) -> None:
    """Hand in check-ins that the clinic's server answers with an error until their attempts are used up."""
    sandboxes.arm_hook("hook_500", times=ATTEMPTS * count, per_subject=ATTEMPTS)
    desk.hand_in(first, count, "checkin")
    desk.wait_for_all(Status.FAILED, partner="clinic")


def fail_a_lot(sandboxes: Sandboxes) -> None:
    """Make more failures of one more partner, which is paused, than a retry run reopens at once."""
    mirror = _add_hook(CROWDED, sandboxes, data_types=[])
    roster.pause(mirror, reason="It is being repaired.", by=USERNAME)
    jobs = factories.SyncJobFactory.build_batch(MANY, partner=CROWDED, step="deliver")
    DataUnion.objects.bulk_create([job.record for job in jobs], batch_size=500)
    SyncJob.objects.bulk_create(jobs, batch_size=500)


def _add_hook(name: str, sandboxes: Sandboxes, *, data_types: list[str]) -> Partner:
    row = Partner.objects.create(name=name, adapter="webhook", data_types=data_types)
    roster.configure(row, config=sandboxes.hook_options(), secrets={"secret": HOOK_SECRET})
    return row


def _make_past(dice: random.Random) -> None:
    """Make the week before: attempts of the last day, hours before that; their records are gone."""
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    for hours in range(1, HOURS):
        make = _make_attempts if hours < ATTEMPTED_HOURS else _make_hour
        for partner, usual in (("akave", 40), ("vana", 30)):
            synced, failed = dice.randint(usual // 2, usual), max(0, dice.randint(-6, 3))
            make(dice, now - timedelta(hours=hours), partner, synced, failed)


def _make_attempts(dice: random.Random, hour: datetime, partner: str, synced: int, failed: int) -> None:
    """Make the attempts of an hour: the audit writes an hour anew that says otherwise than its attempts."""
    rows = []
    for n in range(synced + failed):
        at = hour + timedelta(seconds=dice.randrange(3600))
        ended = {"outcome": "synced", "step": "finished"} if n < synced else {**_REFUSED, "step": "confirm"}
        common = {"record_id": uuid4(), "partner": partner, "number": 1, "fence": 1, "data_type": "health"}
        took = {"started_at": at, "created_at": at, "duration_ms": dice.randint(40, 1800)}
        rows.append(SyncAttempt(**common, **took, **ended, trigger="ingest"))
    SyncAttempt.objects.bulk_create(rows)


def _make_hour(dice: random.Random, hour: datetime, partner: str, synced: int, failed: int) -> None:
    durations = {"100": synced // 2, "1000": synced - synced // 2}
    factories.HourStatFactory(hour=hour, partner=partner, count=synced, durations=durations)
    if failed:
        factories.HourStatFactory(hour=hour, partner=partner, **_REFUSED, count=failed, durations={"1000": failed})


def _make_people() -> User:
    """Make an administrator, who looks, and one of the staff; return the latter."""
    User.objects.create_superuser(username=USERNAME, email="ada@example.org", password=PASSWORD)
    person: User = factories.StaffFactory(username="olga", first_name="Olga", email="olga@example.org")
    person.groups.add(Group.objects.get_or_create(name="operator")[0])
    return person


def _choose_rows(person: User) -> places.Rows:
    """Return the rows whose pages show most; of models that the story does not know, rows as tests make them."""
    job = SyncJob.objects.filter(partner="akave", status=Status.FAILED).order_by("pk").first()
    assert job is not None
    known: dict[type[Model], Model | None] = {
        SyncJob: job,
        DataUnion: job.record,
        SyncAttempt: SyncAttempt.objects.filter(record=job.record).order_by("-pk").first(),
        RetryRun: RetryRun.objects.order_by("pk").first(),
        Partner: _note_acts(person, roster.get_partner("clinic")),
        ApiKey: ApiKey.objects.order_by("pk").first(),
        User: person,
        Group: Group.objects.get(name="operator"),
    }
    return places.make_rows({model: row for model, row in known.items() if row is not None})


def _note_acts(person: User, row: Partner) -> Partner:
    """Let the row have a history."""
    for said in (
        "Changed: In flight at once: 50 -> 200; Longest wait, seconds: 30 -> 1",
        "Tested the connection: it works",
    ):
        LogEntry.objects.log_actions(person.pk, [row], CHANGE, said)
    return row


def find_views(rows: places.Rows) -> list[View]:
    """Return every page that an administrator sees, or a stranger; also each partner's, and that of a person found."""
    stranger, ada = Client(SERVER_NAME="127.0.0.1"), Client(SERVER_NAME="127.0.0.1")
    ada.force_login(User.objects.get(username=USERNAME))
    views = [_view(place, ada, stranger) for place in places.read_places(rows)]
    for other in Partner.objects.exclude(pk=rows[Partner].pk):
        name, url = f"dataunion_partner_change-{other.name}", reverse("admin:dataunion_partner_change", args=[other.pk])
        views.append(View(name, url, signed_in=True))
    found = f"{reverse('admin:dataunion_dataunion_person')}?user={rows[DataUnion].user_hash}"
    views.append(View("dataunion_dataunion_person-found", found, signed_in=True))
    return [view for view in views if view is not None]


def _view(place: places.Place, ada: Client, stranger: Client) -> View | None:
    is_open = _sees_page(stranger, place)
    return View(place.name, place.url, signed_in=not is_open) if is_open or _sees_page(ada, place) else None


def _sees_page(person: Client, place: places.Place) -> bool:
    """Say whether this person sees a page there, a whole one: htmx asks for parts."""
    return places.shows_page(person, place) and b"</html>" in person.get(place.url).content
