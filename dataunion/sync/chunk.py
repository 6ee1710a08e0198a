"""A claimed chunk on its way through an adapter's steps.

Steps run in threads; only the task's own thread touches the database. After each step the results of the whole chunk
are saved in one statement, guarded by the lease; whoever lost a job takes no further step with it.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from dataunion import claims, gate, ledger, roster
from dataunion.claims import Ending
from dataunion.clock import db_now
from dataunion.conf import conf
from dataunion.models import DataUnion, Partner, SyncJob
from dataunion.state import Outcome, PartnerEntry, Status
from dataunion.sync import gates
from dataunion.sync.decisions import Situation, decide, is_limit, peace_s
from dataunion.sync.dispatch import nudge
from dataunion.sync.items import MissingRecordError, Unready, build_items, is_orphan, load_payloads
from partners.base import Item, Rewind, StepResult
from partners.base import Partner as Adapter
from partners.errors import BlockedError, MisconfiguredError, NotReady, PartnerError, TransientError, UnknownOutcome

log = logging.getLogger(__name__)
_FINISHED = "finished"  # the step after the last


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
        self.started = db_now()
        self.successes = self.failures = 0

    def run(self) -> None:
        """Take every job as far as it goes."""
        self._prepare()
        steps = {kind: self.adapter.active_steps(kind) for kind in {job.kind for job in self.jobs.values()}}
        order = list(dict.fromkeys(step for names in steps.values() for step in names))
        for step in order:
            group = {pk: self.items[pk] for pk, job in self.jobs.items() if self._is_at(job, step, steps[job.kind])}
            if group:
                self._run_step(step, group, steps)
        self._complete()
        if self.successes or self.failures:
            with gate.hold(self.row.name) as held:
                if held:
                    held.report(self.successes, self.failures)

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
            refusal = gates.find_refusal(records[self.jobs[pk].record_id], self.row.name) if records else None
            if refusal:
                errors[pk] = BlockedError(refusal)
        self._leave(errors, "")

    def _run_step(self, step: str, group: dict[UUID, Item], steps: Mapping[str, tuple[str, ...]]) -> None:
        if step in self.adapter.payload_steps:
            loaded = load_payloads(group.values())
            group = {pk: loaded[item.record_id] for pk, item in group.items()}
        many = getattr(self.adapter, f"{step}_many", None)
        results = self._run_many(many, group) if many else self._run_threads(getattr(self.adapter, step), group)
        errors = {pk: result for pk, result in results.items() if isinstance(result, Exception)}
        rewinds = {pk: result for pk, result in results.items() if isinstance(result, Rewind)}
        saved: dict[str, list[SyncJob]] = {}
        for pk, result in results.items():
            if isinstance(result, Mapping):
                self._merge(pk, result)
                names = steps[self.jobs[pk].kind]
                following = (*names, _FINISHED)[names.index(step) + 1]
                saved.setdefault(following, []).append(self.jobs[pk])
        self._save(saved)
        self._rewind(rewinds)
        self._leave(errors, step)

    def _run_many(
        self, many: Callable[..., Mapping[str, StepResult | Exception]], group: dict[UUID, Item]
    ) -> dict[UUID, StepResult | Exception]:
        book = ledger.DbLedger(self.signer) if self.signer else None
        try:
            results = many(list(group.values()), book)
        except Exception as error:  # a bug in one step must not take the worker down
            return dict.fromkeys(group, error)
        return {pk: results[item.record_id] for pk, item in group.items()}

    def _run_threads(
        self, method: Callable[[Item], StepResult], group: dict[UUID, Item]
    ) -> dict[UUID, StepResult | Exception]:
        futures: dict[Future[StepResult], UUID] = {self.threads.submit(method, i): pk for pk, i in group.items()}
        pending = set(futures)
        while pending:
            _, pending = wait(pending, timeout=conf().sync_lease_s / 3)
            if pending:
                self._renew()
        results: dict[UUID, StepResult | Exception] = {}
        for future, pk in futures.items():
            error = future.exception()
            results[pk] = error if isinstance(error, Exception) else future.result()
        return results

    def _renew(self) -> None:
        now = db_now()
        ours = claims.renew(list(self.jobs.values()), now)
        if self.signer:
            self.signer.renew(now)
        for pk in set(self.jobs) - ours:
            log.warning("sync.lease.lost", extra={"partner": self.row.name, "job": str(pk)})

    def _merge(self, pk: UUID, changes: Mapping[str, Any]) -> None:
        """Put a step's results into the job; a value of None takes a key away."""
        job, item = self.jobs[pk], self.items[pk]
        merged = {k: v for k, v in {**item.saved, **changes}.items() if v is not None}
        self.items[pk] = replace(item, saved=merged)
        job.saved = claims.seal_saved(job.record_id, job.partner, merged)

    def _save(self, groups: Mapping[str, list[SyncJob]]) -> None:
        for step, jobs in groups.items():
            ours = claims.save_step(jobs, step, db_now())
            for job in jobs:
                if job.pk in ours:
                    job.step, job.crashes, job.waiting_since = step, 0, None
                else:
                    self._forget(job.pk)

    def _rewind(self, rewinds: Mapping[UUID, Rewind]) -> None:
        for pk, back in rewinds.items():
            self._merge(pk, back.changes)
            now = db_now()
            claims.rewind(self.jobs[pk], back.step, now + timedelta(seconds=back.after_s), now)
            self._forget(pk)

    def _forget(self, pk: UUID) -> None:
        self.jobs.pop(pk, None)
        self.items.pop(pk, None)

    def _leave(self, errors: Mapping[UUID, Exception], step: str) -> None:
        """Let go of the jobs that cannot go on now, each by its error's decision."""
        now, endings = db_now(), []
        for pk, error in errors.items():
            job = self.jobs[pk]
            if isinstance(error, MissingRecordError):
                if is_orphan(job, now):
                    claims.drop(job)
                    continue
                error = Unready("The record is not there yet.", after_s=30.0)
            self._account(error, job, step)
            at = Situation(job=job, partner=self.row, step=step, started=self.started, now=now)
            endings.append((job, decide(at, error)))
        claims.settle(endings, now)
        waiting = [self.jobs[pk].record_id for pk, error in errors.items() if isinstance(error, Unready)]
        for pk in errors:
            self._forget(pk)
        self._wake_again(waiting, now)

    def _wake_again(self, record_ids: list[UUID], now: datetime) -> None:
        """Close the gap in which a requirement was met between our look at it and our letting go."""
        if not record_ids or not self.adapter.requires:
            return
        ready = [
            record.pk
            for record in DataUnion.objects.filter(pk__in=record_ids)
            if all(PartnerEntry.parse(record.partners.get(n, {})).is_synced for n in self.adapter.requires)
        ]
        claims.bring_forward(ready, [self.row.name], now)

    def _account(self, error: Exception, job: SyncJob, step: str) -> None:
        """Tell the log, the breaker and the partner's row of an error."""
        facts = {"partner": self.row.name, "job": str(job.pk), "record": str(job.record_id), "step": step}
        if isinstance(error, NotReady):
            return
        if not isinstance(error, PartnerError):
            # Without its message, which may hold health data.
            trace = "".join(traceback.format_tb(error.__traceback__))
            log.error("sync.partner.bug", extra={**facts, "type": type(error).__name__, "trace": trace})
            return
        log.warning("sync.partner.failed", extra={**facts, "class": error.error_class, "cause": error.message})
        if is_limit(error) and isinstance(error, TransientError):
            gate.ask_for_peace(self.row.name, db_now() + timedelta(seconds=peace_s(error)))
        elif isinstance(error, TransientError | UnknownOutcome):
            self.failures += 1
        elif isinstance(error, MisconfiguredError):
            roster.pause(self.row, reason=error.message, by="system")

    def _complete(self) -> None:
        now, endings = db_now(), []
        for pk, job in self.jobs.items():
            if job.step != _FINISHED:
                continue
            item = self.items[pk]
            at = Situation(job=job, partner=self.row, step=_FINISHED, started=self.started, now=now)
            endings.append((job, self._ending(at, item)))
        ours = claims.settle(endings, now)
        self.successes += len(ours)
        dependents = roster.find_dependents(self.row.name)
        if claims.bring_forward([job.record_id for job in ours], dependents, now):
            nudge((row.name, roster.queue(row)) for row in roster.find_partners() if row.name in dependents)

    def _ending(self, at: Situation, item: Item) -> Ending:
        try:
            receipt, refs = dict(self.adapter.receipt(item)), list(self.adapter.refs(item))
        except Exception as error:
            return decide(at, error)
        attempt = at.attempt(Outcome.SYNCED)
        return Ending(status=Status.DONE, due_at=at.now, attempt=attempt, receipt=receipt, refs=refs)
