"""A claimed chunk on its way through an adapter's steps.

Steps run in threads; only the task's own thread touches the database. After each step the results of the whole chunk
are saved in one statement, guarded by the lease; whoever lost a job takes no further step with it.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import DataError, Error

from dataunion import claims, ledger, roster
from dataunion.clock import db_now
from dataunion.conf import conf
from dataunion.endings import Ending
from dataunion.models import DataUnion, Partner, SyncJob
from dataunion.state import Outcome, Status, add_spent
from dataunion.sync import gates
from dataunion.sync.decisions import Situation, decide, describe_bug
from dataunion.sync.dispatch import nudge
from dataunion.sync.items import MissingRecordError, Unready, build_items, is_orphan, load_payloads, snooze_s
from dataunion.sync.pulse import Pulse
from partners.base import PUSH, Item, Rewind, StepResult
from partners.base import Partner as Adapter
from partners.errors import (
    BlockedError,
    MisconfiguredError,
    NotReady,
    PartnerError,
    PermanentError,
)

log = logging.getLogger(__name__)
_UNSTORABLE = (ValueError, OverflowError, DataError)  # lone surrogates, numbers over 64 bits
_FINISHED = "finished"  # the step after the last
Task = tuple[UUID, Item]
Results = dict[UUID, StepResult | Exception]


class Chunk:
    """A claimed chunk on its way through the steps."""

    def __init__(
        self,
        row: Partner,
        adapter: Adapter,
        jobs: list[SyncJob],
        threads: ThreadPoolExecutor,
        signer: ledger.SignerLease | None,
    ) -> None:
        self.row, self.adapter, self.threads, self.signer = row, adapter, threads, signer
        self.jobs: dict[UUID, SyncJob] = {job.pk: job for job in jobs}  # those still in our hands
        self.items: dict[UUID, Item] = {}
        self.took_s: dict[UUID, float] = {}  # of each job's latest step
        self.started, self.renewed = db_now(), time.monotonic()
        self.pulse = Pulse(row.name, jobs[0].lease_token)

    def run(self) -> None:
        """Take every job as far as it goes."""
        self._prepare()
        steps = {kind: self.adapter.active_steps(kind) for kind in {job.kind for job in self.jobs.values()}}
        order = list(dict.fromkeys(step for names in steps.values() for step in names))
        for step in order:
            if self.pulse.is_over:
                break
            group = {pk: self.items[pk] for pk, job in self.jobs.items() if self._is_at(job, step, steps[job.kind])}
            if group:
                self._run_step(step, group, steps)
        self._complete()
        self._put_back()

    def _put_back(self) -> None:
        """Let go of what was not begun because the partner is in trouble, as if it had not been claimed."""
        left = [job for job in self.jobs.values() if job.step != _FINISHED]
        if left:
            claims.let_go(left, db_now())

    @staticmethod
    def _is_at(job: SyncJob, step: str, names: tuple[str, ...]) -> bool:
        """Say whether `step` is the job's next; a step that the configuration no longer has means the first."""
        return step == (job.step if job.step in names or job.step == _FINISHED else names[0])

    def _prepare(self) -> None:
        made = build_items(list(self.jobs.values()), self.adapter.requires)
        errors: dict[UUID, Exception] = {}
        records = DataUnion.objects.in_bulk([job.record_id for job in self.jobs.values()]) if gates.are_there() else {}
        for pk, item in made.items():
            if isinstance(item, Exception):
                errors[pk] = item
                continue
            self.items[pk] = item
            error = self._refusal(item, records.get(self.jobs[pk].record_id))
            if error:
                errors[pk] = error
        self._leave(errors, "")

    def _refusal(self, item: Item, record: DataUnion | None) -> Exception | None:
        """Say what forbids this item. A gate that breaks lets nothing through, and takes nobody else down."""
        if not self.adapter.active_steps(item.kind):
            return PermanentError(f"{self.row.name}: the adapter has no steps to {item.kind} a record")
        if record is None or item.kind != PUSH:
            return None
        try:
            refusal = gates.find_refusal(record, self.row.name)
        except Error:
            raise
        except Exception as error:
            return error
        return BlockedError(refusal) if refusal else None

    def _run_step(self, step: str, group: dict[UUID, Item], steps: Mapping[str, tuple[str, ...]]) -> None:
        self._renew_in_time()
        results = self._call(step, {pk: item for pk, item in group.items() if pk in self.jobs})
        saved: dict[str, list[SyncJob]] = {}
        rewinds: dict[UUID, Rewind] = {}
        errors: dict[UUID, Exception] = {}
        for pk, result in results.items():
            if pk not in self.jobs:
                continue  # lost while the step ran
            self._note_spent(pk, step)
            error = self._take_in(pk, result)
            if error:
                errors[pk] = error
            elif isinstance(result, Rewind):
                rewinds[pk] = result
            else:
                names = steps[self.jobs[pk].kind]
                following = (*names, _FINISHED)[names.index(step) + 1]
                if following == _FINISHED and not result:
                    self._go_on(self.jobs[pk], following)  # nothing to store but how the job ends
                else:
                    saved.setdefault(following, []).append(self.jobs[pk])
        self._save(saved)
        self._rewind(rewinds)
        self._leave(errors, step)

    def _call(self, step: str, group: dict[UUID, Item]) -> Results:
        unopened: Results = {}
        if step in self.adapter.payload_steps:
            loaded = load_payloads(group.values())
            found = {pk: loaded[item.record_id] for pk, item in group.items()}
            unopened = {pk: result for pk, result in found.items() if isinstance(result, Exception)}
            group = {pk: result for pk, result in found.items() if isinstance(result, Item)}
        many = getattr(self.adapter, f"{step}_many", None)
        results = self._run_many(many, group) if many else self._run_threads(step, group)
        return unopened | results

    def _note_spent(self, pk: UUID, step: str) -> None:
        took_s = self.took_s.pop(pk, None)
        if took_s is not None:
            job = self.jobs[pk]
            job.spent = add_spent(job.spent, step, took_ms=round(took_s * 1000), since=self.started.isoformat())

    def _take_in(self, pk: UUID, result: StepResult | Exception) -> Exception | None:
        """Put a step's answer into the job; return what speaks against it."""
        if isinstance(result, Exception):
            return result
        try:
            self._merge(pk, result.changes if isinstance(result, Rewind) else result)
        except Exception as error:  # what the step returned is no JSON object: its bug, and this job's only
            return error
        return None

    def _run_many(self, many: Callable[..., Mapping[str, StepResult | Exception]], group: dict[UUID, Item]) -> Results:
        book, began = ledger.DbLedger(self.signer) if self.signer else None, time.monotonic()
        try:
            results = many(list(group.values()), book)
            return {pk: results[item.record_id] for pk, item in group.items()}
        except Error:
            raise  # the database's trouble is nobody's bug
        except Exception as error:  # a bug in one step must not take the worker down
            return dict.fromkeys(group, error)
        finally:
            self.took_s.update(dict.fromkeys(group, time.monotonic() - began))  # one call, which each had to wait for

    def _run_threads(self, step: str, group: dict[UUID, Item]) -> Results:
        """Run a step for each item; those not begun when the partner shows trouble are left out."""
        todo, results = deque(group.items()), Results()
        pending = self._send_out(conf().sync_threads, step, todo, results)
        while pending:
            left_s = self.renewed + conf().sync_lease_s / 3 - time.monotonic()
            finished, pending = wait(pending, timeout=max(left_s, 0.0), return_when=FIRST_COMPLETED)
            troubled = sum(future.result() for future in finished)
            if troubled:
                self.pulse.heed()
                pending |= self._send_out(troubled, step, todo, results)
            if pending:
                self._renew_in_time()
        return results

    def _send_out(self, threads: int, step: str, todo: deque[Task], results: Results) -> set[Future[bool]]:
        return {self.threads.submit(self._ask_on, step, todo, results) for _ in range(min(threads, len(todo)))}

    def _ask_on(self, step: str, todo: deque[Task], results: Results) -> bool:
        """Run a step for one item after the other, in a thread; say whether it ended with trouble, to be heeded."""
        while not self.pulse.is_over:
            try:
                pk, item = todo.popleft()
            except IndexError:
                break
            answer = results[pk] = self._ask(step, pk, item)
            if isinstance(answer, Exception):
                return True
        return False

    def _ask(self, step: str, pk: UUID, item: Item) -> StepResult | Exception:
        answer: StepResult | Exception
        asked, began = step not in self.adapter.local_steps, time.monotonic()
        try:
            answer = getattr(self.adapter, step)(item)
        except Exception as error:
            answer = error
        finally:
            self.took_s[pk] = time.monotonic() - began
        self.pulse.hear(pk, answer, asked=asked)
        return answer

    def _renew_in_time(self) -> None:
        """Prolong the leases when a third of their time has passed, also of jobs that wait for a later step."""
        if time.monotonic() - self.renewed > conf().sync_lease_s / 3:
            self._renew()

    def _renew(self) -> None:
        now, self.renewed = db_now(), time.monotonic()
        ours = claims.renew(list(self.jobs.values()), now)
        if self.signer:
            self.signer.renew(now)
        for pk in set(self.jobs) - ours:
            log.warning("sync.lease.lost", extra={"partner": self.row.name, "job": str(pk)})
            self._forget(pk)

    def _merge(self, pk: UUID, changes: Mapping[str, Any]) -> None:
        """Put a step's results into the job; a value of None takes a key away."""
        job, item = self.jobs[pk], self.items[pk]
        if changes == {} and job.saved is not None:
            return  # what is sealed stays as it is
        merged = {k: v for k, v in {**item.saved, **changes}.items() if v is not None}
        self.items[pk] = replace(item, saved=merged)
        job.saved = claims.seal_saved(job.record_id, job.partner, merged)

    def _save(self, groups: Mapping[str, list[SyncJob]]) -> None:
        for step, jobs in groups.items():
            ours = claims.save_step(jobs, step, db_now())
            for job in jobs:
                if job.pk in ours:
                    self._go_on(job, step)
                else:
                    self._forget(job.pk)

    @staticmethod
    def _go_on(job: SyncJob, step: str) -> None:
        job.step, job.crashes, job.waiting_since = step, 0, None

    def _rewind(self, rewinds: Mapping[UUID, Rewind]) -> None:
        for pk, back in rewinds.items():
            now = db_now()
            claims.rewind(self.jobs[pk], back.step, now + timedelta(seconds=back.after_s), now)
            self._forget(pk)

    def _forget(self, pk: UUID) -> None:
        self.jobs.pop(pk, None)
        self.items.pop(pk, None)

    def _leave(self, errors: Mapping[UUID, Exception], step: str) -> None:
        """Let go of the jobs that cannot go on now, each by its error's decision."""
        if not errors:
            return
        now, endings = db_now(), []
        for pk, error in errors.items():
            job = self.jobs[pk]
            if isinstance(error, MissingRecordError):
                if is_orphan(job, now):
                    claims.drop(job)
                    continue
                error = Unready("The record is not there yet.", after_s=snooze_s(job, now))
            self._account(error, job, step)
            at = Situation(job=job, partner=self.row, step=step, started=self.started, now=now)
            endings.append((job, decide(at, error)))
        self._settle(endings, now)
        waiting = [self.jobs[pk] for pk, error in errors.items() if isinstance(error, Unready)]
        for pk in errors:
            self._forget(pk)
        self._wake_again(waiting, now)

    def _settle(self, endings: list[tuple[SyncJob, Ending]], now: datetime) -> list[SyncJob]:
        """Let go of jobs; one whose answer no database can store must not hold up the others."""
        try:
            return claims.settle(endings, now)
        except _UNSTORABLE:
            return [job for one in endings for job in self._settle_one(*one, now)]

    def _settle_one(self, job: SyncJob, ending: Ending, now: datetime) -> list[SyncJob]:
        try:
            return claims.settle([(job, ending)], now)
        except _UNSTORABLE:
            nonsense = PermanentError(f"{self.row.name}: it answered something that cannot be stored.", kind="nonsense")
            at = Situation(job=job, partner=self.row, step=job.step, started=self.started, now=now)
            return claims.settle([(job, decide(at, nonsense))], now)

    def _wake_again(self, jobs: list[SyncJob], now: datetime) -> None:
        """Close the gap in which what a job waits for came between our look and our letting go."""
        if not jobs:
            return
        made = build_items(jobs, self.adapter.requires)
        claims.bring_forward([job.record_id for job in jobs if isinstance(made[job.pk], Item)], [self.row.name], now)

    def _account(self, error: Exception, job: SyncJob, step: str) -> None:
        """Tell the log of an error, and the partner's row where it is misconfigured."""
        facts = {"partner": self.row.name, "job": str(job.pk), "record": str(job.record_id), "step": step}
        if isinstance(error, NotReady):
            return
        if not isinstance(error, PartnerError):
            log.error("sync.partner.bug", extra={**facts, **describe_bug(error)})
            return
        log.warning("sync.partner.failed", extra={**facts, "class": error.error_class, "cause": error.message})
        if isinstance(error, MisconfiguredError):
            roster.pause_misconfigured(self.row, reason=error.message)

    def _complete(self) -> None:
        now, endings = db_now(), []
        for pk, job in self.jobs.items():
            if job.step != _FINISHED:
                continue
            item = self.items[pk]
            at = Situation(job=job, partner=self.row, step=_FINISHED, started=self.started, now=now)
            endings.append((job, self._ending(at, item)))
        synced = [job for job in self._settle(endings, now) if job.status == Status.DONE]
        dependents = roster.find_dependents(self.row.name)
        if claims.bring_forward([job.record_id for job in synced], dependents, now):
            nudge((row.name, roster.queue(row)) for row in roster.find_partners() if row.name in dependents)

    def _ending(self, at: Situation, item: Item) -> Ending:
        attempt = at.attempt(Outcome.SYNCED)
        if item.kind != PUSH:
            return Ending(status=Status.DONE, due_at=at.now, attempt=attempt)
        try:
            receipt, refs = dict(self.adapter.receipt(item)), list(self.adapter.refs(item))
            json.dumps(receipt)
        except Exception as error:
            self._account(error, at.job, at.step)
            return decide(at, error)
        return Ending(status=Status.DONE, due_at=at.now, attempt=attempt, receipt=receipt, refs=refs)
