"""Drives claims, moves and words from outside at random, with a crash between any two writes, beside the model.

Each rule says to the model what each pair may become; then it looks. A crash leaves any of a move's stages, and the
next look tells which. What a rule does not name must be as it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from django.db import connections
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from dataunion import claims, models, reconcile, retries, roster, stats
from dataunion.clock import db_now
from dataunion.endings import Ending
from dataunion.ingest import register_record
from dataunion.models import NEVER, DataUnion, Partner, RetryRun, SyncJob, TaskLease
from dataunion.state import RunState, Status
from dataunion.sync import engine
from dataunion.sync.tick import tick
from partners.base import Item
from partners.testing import FakePartner
from tests.dataunion.work import FAILURE, ago, ahead, attempt
from tests.faults import model, untransacted
from tests.faults.crashes import Point, Trap, crashing
from tests.faults.elapse import elapse
from tests.faults.look import Key, read_pairs
from tests.faults.model import Pair, Stages
from tests.faults.oracle import MARKER, Evidence, assert_nothing_violated

PARTNERS = ("akave", "vana")
TABLES = (
    *(models.DataUnion, models.SyncJob, models.SyncAttempt, models.RemoteRef, models.HealthData),
    *(models.RetryRun, models.TaskLease, models.Counters, models.AuditState),
)
PAYLOAD = f'{{"note":"{MARKER}"}}'.encode()
ENDINGS = {"retry": Status.RETRYING, "give_up": Status.FAILED, "block": Status.BLOCKED}

points = st.builds(
    lambda number, moment: Point(number=number, moment=moment),
    st.sampled_from([0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 10, 13]),
    st.sampled_from(["before", "within"]),
)
partners = st.sampled_from(PARTNERS)
markers = st.none() | st.integers(1, 9)
recent = st.integers(0, 5)  # counted from the newest


def profile() -> settings:
    """Return how long to look: the same few examples each time, or FAULTS_EXAMPLES new ones."""
    wanted = os.environ.get("FAULTS_EXAMPLES")
    return settings(
        max_examples=int(wanted or (8 if connections["default"].vendor == "mongodb" else 40)),
        stateful_step_count=40,
        deadline=None,
        database=None,
        print_blob=True,
        derandomize=not wanted,
        suppress_health_check=list(HealthCheck),
    )


class Machine(RuleBasedStateMachine):
    """The system, its model, and the workers' hands (every job object that was ever claimed, old ones too)."""

    def __init__(self) -> None:
        super().__init__()
        for table in TABLES:
            table._default_manager.all().delete()
        FakePartner.reset()
        roster.find_partners()
        Partner.objects.update(breaker=None, not_before=NEVER)
        self.free_gates()
        self.pairs: dict[Key, Pair] = {}
        self.hands: list[SyncJob] = []
        self.told: set[Key] = set()
        self.asked = 0
        self.broken = False

    # --- how a rule is checked

    def live(self, act: Callable[[], Any], point: Point, expected: dict[Key, Stages]) -> tuple[Trap, Any]:
        """Act, perhaps until a crash, and look whether each pair is where its stages lead."""
        trap, result = self.run(act, point)
        self.compare(trap, read_pairs(), expected)
        return trap, result

    def run(self, act: Callable[[], Any], point: Point) -> tuple[Trap, Any]:
        """Act; whatever a dead worker held of gates and periodic tasks is waited for."""
        self.broken, result = True, None
        with crashing(point) as trap:
            result = act()
        if trap.happened:
            self.free_gates()
        return trap, result

    def free_gates(self) -> None:
        Partner.objects.update(gate_token="", gate_until=NEVER)
        TaskLease.objects.update(until=NEVER)

    def compare(self, trap: Trap, found: dict[Key, Pair], expected: dict[Key, Stages]) -> None:
        """See that each pair is where its stages lead, then believe it."""
        for key, before in self.pairs.items():
            now = found.get(key) or Pair(has_record=False, history=before.history)
            stages = expected.get(key, [])
            allowed = [before, *stages] if trap.happened else [model.last(before, stages)]
            assert now in allowed, f"{key[1]}: {before}\nbecame {now}\nand not one of {allowed}"
        untold = [key for key, pair in found.items() if pair.outcome] if self.has_transactions() else []
        faults = [f"{key[1]} {pair}: {fault}" for key, pair in found.items() for fault in model.find_faults(pair)]
        assert not faults + untold, "\n".join(map(str, [*faults, *untold]))
        self.pairs, self.broken = found, False

    @staticmethod
    def has_transactions() -> bool:
        usual = connections["default"]
        return usual.vendor != "mongodb" and not isinstance(usual, untransacted.Untransacted)

    def all(self, move: Callable[[Pair], Stages], partner: str = "") -> dict[Key, Stages]:
        return {key: move(pair) for key, pair in self.pairs.items() if partner in ("", key[1])}

    # --- records come in

    @initialize(names=st.sampled_from(["a", "ab"]))
    def begin(self, names: str) -> None:
        for name in names:
            self.hand_in(name, Point(number=0))

    @rule(name=st.sampled_from("abc"), point=points)
    def hand_in(self, name: str, point: Point) -> None:
        reference = {"user_hash": "user-1", "data_type": "health", "data_id": name}
        known, before = DataUnion.find_by_data_reference(**reference), set(self.pairs)
        trap, _ = self.live(lambda: register_record(**reference, payload=PAYLOAD), point, {})
        DataUnion.objects.update(created_at=ago(300))  # old enough for the audit
        made = {key: pair for key, pair in self.pairs.items() if key not in before}
        record = DataUnion.find_by_data_reference(**reference)
        fresh = Pair(status="pending", fence=1, has_record=record is not None)
        assert set(made.values()) <= {fresh}
        assert known is None or not made
        if record is not None:
            assert {(record.pk, partner) for partner in PARTNERS} <= set(self.pairs)
        assert trap.happened or record is not None

    # --- workers

    @rule(partner=partners, limit=st.integers(1, 5), point=points)
    def claim(self, partner: str, limit: int, point: Point) -> None:
        before, now = self.pairs, db_now()
        trap, jobs = self.run(lambda: claims.claim(partner, limit=limit), point)
        found = read_pairs()
        taken = {key: pair for key, pair in found.items() if pair != before[key]}
        assert all(before[key].is_claimable(db_now()) for key in taken)
        assert len({pair.token for pair in taken.values()}) <= 1
        assert len(taken) <= limit
        free = [key for key, pair in before.items() if key[1] == partner and pair.is_claimable(now)]
        assert trap.happened or bool(taken) == bool(free)
        self.compare(trap, found, {key: model.claim(before[key], pair.token) for key, pair in taken.items()})
        self.hands += jobs or []

    def pick_hands(self, first: int, count: int, is_late: bool) -> list[SyncJob]:
        """Return jobs that workers have, or believe to have."""
        ours = [job for job in self.hands if self.is_at_work(job)]
        hands = list(reversed(self.hands if is_late or not ours else ours))
        chosen = [hands[(first + n) % len(hands)] for n in range(count)]
        return list({job.pk: job for job in chosen}.values())

    def is_at_work(self, job: SyncJob) -> bool:
        pair = self.pairs.get((job.record_id, job.partner))
        return pair is not None and pair.is_at_work(job.lease_token)

    def if_at_work(self, jobs: Iterable[SyncJob], move: Callable[[Pair], Stages]) -> dict[Key, Stages]:
        """Return the stages of those whose worker still has them; a late word must change nothing."""
        keys = [(job.record_id, job.partner) for job in jobs if self.is_at_work(job)]
        return {key: move(self.pairs[key]) for key in keys}

    def bury(self, trap: Trap, jobs: list[SyncJob]) -> None:
        """Take from a worker that died what it held in memory."""
        if trap.happened:
            self.hands = [job for job in self.hands if job not in jobs]

    def is_orphan(self, job: SyncJob) -> bool:
        return not DataUnion.objects.filter(pk=job.record_id).exists()

    @precondition(lambda self: self.hands)
    @rule(first=recent, is_late=st.booleans(), marker=st.integers(1, 9), point=points)
    def take_a_step(self, first: int, is_late: bool, marker: int, point: Point) -> None:
        [job] = self.pick_hands(first, 1, is_late)
        if job.step == model.STEPS[-1] or self.is_orphan(job):
            return
        step = model.STEPS[model.STEPS.index(job.step or model.STEPS[0]) + 1]
        made = {"secret": f"secret-of-{job.record_id}", "id": self.send(job), "marker": marker}
        job.saved = claims.seal_saved(job.record_id, job.partner, {**claims.open_saved(job), **made})
        expected = self.if_at_work([job], lambda pair: model.save(pair, step, marker))
        trap, ours = self.live(lambda: claims.save_step([job], step, db_now()), point, expected)
        assert trap.happened or ours == ({job.pk} if expected else set())
        job.step, job.crashes, job.waiting_since = step, 0, None
        self.bury(trap, [job])

    def send(self, job: SyncJob) -> str:
        """Let the partner have the record's data, as a step would."""
        facts = {"user_hash": "user-1", "data_type": "health", "data_id": ""}
        item = Item(record_id=str(job.record_id), partner=job.partner, **facts)
        FakePartner.service(job.partner).objects[item.once_id] = PAYLOAD
        return item.once_id

    @precondition(lambda self: self.hands)
    @rule(
        first=recent,
        count=st.integers(1, 3),
        is_late=st.booleans(),
        ending=st.sampled_from(["done", "done", "snooze", *ENDINGS]),
        point=points,
    )
    def settle(self, first: int, count: int, is_late: bool, ending: str, point: Point) -> None:
        jobs = self.pick_hands(first, count, is_late)
        if any(self.is_orphan(job) for job in jobs):
            ending = "snooze"
        expected = self.if_at_work(jobs, lambda pair: model.settle(pair, ending))
        endings = [(job, self.ending(job, ending)) for job in jobs]
        trap, ended = self.live(lambda: claims.settle(endings, db_now()), point, expected)
        assert trap.happened or {(job.record_id, job.partner) for job in ended} == set(expected)
        self.bury(trap, jobs)

    def ending(self, job: SyncJob, name: str) -> Ending:
        """Return how a worker would end this job."""
        number = job.runs + 1
        if name == "snooze":
            return Ending(status=Status.PENDING, due_at=ahead(3600), waits=True)
        if name == "done":
            receipt = {"id": self.send(job)}
            return Ending(status=Status.DONE, due_at=db_now(), attempt=attempt(number=number), receipt=receipt)
        error = {"error_class": "transient", "error_message": f"{job.partner}: store: 503"}
        failure = attempt(FAILURE.outcome, number=number, **error)
        return Ending(
            status=ENDINGS[name], due_at=ahead(3600), attempt=failure, spends_attempt=ENDINGS[name] != Status.BLOCKED
        )

    @precondition(lambda self: self.hands)
    @rule(first=recent, is_late=st.booleans(), how=st.sampled_from(["renew", "let_go", "rewind"]), point=points)
    def hold_or_put_back(self, first: int, is_late: bool, how: str, point: Point) -> None:
        [job] = self.pick_hands(first, 1, is_late)
        marker = claims.open_saved(job).get("marker")
        acts: dict[str, tuple[Callable[[], Any], Callable[[Pair], Stages]]] = {
            "renew": (lambda: claims.renew([job], db_now()), lambda pair: []),
            "let_go": (lambda: claims.let_go([job], ago(1)), model.let_go),
            "rewind": (
                lambda: claims.rewind(job, "keys", ago(1), db_now()),
                lambda pair: model.rewind(pair, "keys", marker),
            ),
        }
        act, move = acts[how]
        trap, _ = self.live(act, point, self.if_at_work([job], move))
        self.bury(trap, [job])

    @rule(partner=partners, point=points)
    def work(self, partner: str, point: Point) -> None:
        """Be a real worker, from the claim to the end."""
        now = db_now()
        trap, _ = self.run(lambda: engine.push(partner), point)
        found = read_pairs()
        due = {key: pair for key, pair in self.pairs.items() if key[1] == partner and pair.is_claimable(now)}
        self.compare(trap, found, {key: model.work(pair, found[key].token) for key, pair in due.items()})

    # --- time

    @rule(leases=st.booleans())
    def pass_time(self, leases: bool) -> None:
        if leases:
            SyncJob.objects.filter(lease_until__gt=NEVER).update(lease_until=ago(1))
        SyncJob.objects.update(due_at=ago(1))
        self.pairs = read_pairs()

    @rule(what=st.sampled_from(["tick", "tick", "fold", "audit"]), point=points)
    def periodic(self, what: str, point: Point) -> None:
        now = db_now()
        acts: dict[str, Callable[[], Any]] = {"tick": tick, "fold": stats.fold, "audit": lambda: reconcile.audit(now)}
        runs = [(run.filter["partner"], run.created_at) for run in RetryRun.objects.filter(state=RunState.RUNNING)]
        moves: dict[str, Callable[[Key, Pair], Stages]] = {
            "tick": lambda key, pair: self.stages_of_tick(
                pair, now, any(name == key[1] and pair.changed_at <= at for name, at in runs)
            ),
            "fold": lambda key, pair: [],
            "audit": lambda key, pair: model.audit(pair, now),
        }
        self.live(acts[what], point, {key: moves[what](key, pair) for key, pair in self.pairs.items()})

    @staticmethod
    def stages_of_tick(pair: Pair, now: Any, is_reopened: bool) -> Stages:
        found = model.rescue(pair, now)
        then = model.last(pair, found)
        if is_reopened and not found:
            found = model.reopen(pair)
            then = model.last(pair, found)
        return [*found, *model.ask_again(then, now)]

    # --- people and other services

    @rule(partner=partners, what=st.sampled_from(["retry_run", "unblock"]), point=points)
    def ask_for_many(self, partner: str, what: str, point: Point) -> None:
        now, by = db_now(), self.someone()
        asked: dict[str, tuple[Callable[[], Any], Callable[[Pair], Stages]]] = {
            "retry_run": (lambda: retries.start_run({"partner": partner}, by=by), model.reopen),
            "unblock": (lambda: claims.unblock(partner, now), lambda pair: model.ask_again(pair, now)),
        }
        act, move = asked[what]
        joins = what == "retry_run" and retries.find_run({"partner": partner}) is not None
        self.live(act, point, {} if joins else self.all(move, partner))

    def someone(self) -> str:
        self.asked += 1
        return f"ann {self.asked}"

    @rule(nth=recent, what=st.sampled_from(["retry", "bring_forward"]), point=points)
    def ask_for_one(self, nth: int, what: str, point: Point) -> None:
        key = self.pick(nth)
        job, by = SyncJob.objects.filter(record_id=key[0], partner=key[1]).first(), self.someone()
        asked: dict[str, tuple[Callable[[], Any], Callable[[Pair], Stages]]] = {
            "retry": (lambda: job and retries.retry_job(job, by=by), model.reopen),
            "bring_forward": (lambda: claims.bring_forward([key[0]], [key[1]], db_now()), model.wake),
        }
        act, move = asked[what]
        self.live(act, point, {key: move(self.pairs[key])})

    def pick(self, nth: int) -> Key:
        return list(self.pairs)[-1 - nth % len(self.pairs)]

    @rule(nth=recent, is_synced=st.booleans(), error=st.booleans(), marker=markers, point=points)
    def report(self, nth: int, is_synced: bool, error: bool, marker: int | None, point: Point) -> None:
        key = self.pick(nth)
        record = DataUnion.objects.filter(pk=key[0]).first()
        if record is None:
            return
        if is_synced:
            self.send(SyncJob(record=record, partner=key[1]))
            self.told.add(key)
        text, given = "it is gone" if error else None, None if marker is None else {"marker": marker}
        stages = model.report(self.pairs[key], is_synced, error, marker)
        self.live(lambda: record.update_partner_sync(key[1], is_synced, text, given), point, {key: stages})

    # --- the end

    def teardown(self) -> None:
        if self.broken:
            return
        for _ in range(10):
            if not SyncJob.objects.exists():
                break
            elapse(4000)
            tick()
            reconcile.audit(db_now())
            for partner in PARTNERS:
                retries.start_run({"partner": partner}, by=self.someone())
                engine.push(partner)
        left = {key: pair for key, pair in read_pairs().items() if pair.status is not None or not pair.is_synced}
        assert not left, left
        assert_nothing_violated(Evidence(told=self.told))
        records, totals = DataUnion.objects.count(), stats.read_totals()
        assert totals.records == records
        counts = {name: (counted.enrolled, counted.synced) for name, counted in totals.partners.items()}
        assert counts == dict.fromkeys(PARTNERS, (records, records))
