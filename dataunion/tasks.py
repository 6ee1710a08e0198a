"""Every Celery task: the index of what runs behind the scenes."""

from __future__ import annotations

from celery import shared_task

from dataunion.sync import engine
from dataunion.sync import tick as clock


@shared_task(name="dataunion.push")
def push(partner: str) -> None:
    """Work on a partner's due jobs."""
    engine.push(partner)


@shared_task(name="dataunion.tick")
def tick() -> None:
    """Rescue, fold, nudge; sent by beat every few seconds."""
    clock.tick()


@shared_task(name="dataunion.upkeep")
def upkeep() -> None:
    """Roll up, prune, audit; sent by beat every minute."""
    clock.upkeep()
