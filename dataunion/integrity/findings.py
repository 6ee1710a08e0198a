"""What an audit looked at, what was wrong, and the one way in which it mends that."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

log = logging.getLogger(__name__)


class Kind(StrEnum):
    """Half-done states, in the words that people read; docs/reliability.md says how each comes about."""

    ABANDONED = "work that nobody took back"
    PUBLICATION = "outcome that nobody published"
    HELD = "job held by nobody"
    NO_LEASE = "running job without a lease"
    NO_OUTCOME = "done job without an outcome"
    LONG_LEASE = "lease longer than any lasts"
    FAR_TIME = "time further away than any wait"
    ORPHAN_JOB = "job without record"
    ORPHAN_DATA = "data without record"
    MISSING_JOB = "record without job"
    MISSING_ENTRY = "job without entry"
    FINAL_JOB = "job of a finished entry"
    ENTRY_BEHIND = "entry behind its job"
    JOB_BEHIND = "job behind its entry"
    OLD_CONFLICT = "conflict over a name that is gone"
    ATTEMPT = "attempt that was not recorded"
    REFERENCE = "reference that was not recorded"
    COUNTERS = "counters adrift"
    HOUR = "hour's statistics adrift"


@dataclass
class Findings:
    """The tally of one audit. `now` is the database's time, set anew for every page of a long one.

    In a dry run nothing is written, and `repaired` counts what would be.
    """

    now: datetime
    dry: bool = False
    looked_at: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    _told: set[tuple[str, ...]] = field(default_factory=set)  # in a dry run: what is met twice counts once

    def mend(self, kind: Kind, repair: Callable[[], object], **facts: object) -> bool:
        """Do a repair, which says whether it was still needed; count it and log it with its facts."""
        told = {name: str(fact) for name, fact in facts.items()}
        if self.dry:
            what = (kind, *(f"{name}={fact}" for name, fact in told.items()))
            if what not in self._told:
                self._told.add(what)
                self.repaired[kind] += 1
            return True
        try:
            if not repair():
                return False
        except Exception as error:  # one repair that fails must not keep others from being done
            self.failed[kind] += 1
            log.error("audit.failed", extra={**told, "repair": str(kind), "type": type(error).__name__})
            return False
        self.repaired[kind] += 1
        log.error("audit.repaired", extra={**told, "repair": str(kind)})
        return True
