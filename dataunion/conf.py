"""Every DATAUNION_* setting of the core, typed, with its default and its unit. Read by `conf()` only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, fields
from typing import Any

from django.conf import settings


@dataclass(frozen=True)
class Conf:
    """Each field `x_y` is set by the environment variable DATAUNION_X_Y; docs/settings.md explains them."""

    sync_lease_s: float = 45.0  # how long a worker may be silent before its work is taken over
    sync_chunk: int = 50  # jobs that one worker takes into hand at once
    sync_threads: int = 8  # network calls that one worker makes at once
    sync_tick_s: float = 5.0  # how often the clock looks for due and abandoned work
    sync_push_s: float = 20.0  # how long one task goes on claiming chunks
    sync_orphan_s: float = 600.0  # after this, a job whose record never appeared is dropped
    sync_requirement_s: float = 900.0  # how long a job waits for a required partner before it looks again by itself
    sync_retry_after_floor_s: float = 1.0  # bounds of what a partner's Retry-After may ask
    sync_retry_after_cap_s: float = 3600.0
    sync_unknown_s: float = 600.0  # how long an unknown outcome may stay unknown before it spends an attempt
    ingest_max_payload_bytes: int = 5_000_000
    ingest_max_batch: int = 1000
    attempts_keep_days: int = 90  # and alerts that are over
    api_max_body_bytes: int = 20_000_000
    api_requests_per_minute: int = 6000  # for each API key
    alert_stopped_minutes: float = 5.0  # how long a partner may leave us without an answer
    alert_failure_ratio: float = 0.5  # failed attempts among those that synced or failed
    alert_failure_minimum: int = 20  # attempts below which no ratio is judged
    alert_due_minutes: float = 15.0  # how long due work may wait
    alert_clock_minutes: float = 2.0  # how long the clock may stand
    alert_signer_coins: float = 0.1  # a signer that holds less is to be funded
    alert_key_days: float = 14.0  # an API key that ends sooner is to be replaced
    alert_calm_minutes: float = 5.0  # all must be well for so long before an incident is over
    alert_watch_s: float = 30.0  # how often a web or worker process sees whether somebody looks for alerts

    @classmethod
    def load(cls, env: Mapping[str, str]) -> Conf:
        """Read the environment. Raises ValueError, which names the variable and what it should hold."""
        values: dict[str, Any] = {field.name: _read(env, field) for field in fields(cls)}
        return cls(**values)


def _read(env: Mapping[str, str], field: Field[Any]) -> int | float:
    name = f"DATAUNION_{field.name.upper()}"
    kind: type[int] | type[float]
    kind, holds = (int, "a whole number") if isinstance(field.default, int) else (float, "a number")
    try:
        value: int | float = kind(env.get(name) or str(field.default))
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} is wrong; it should hold {holds} above 0")
    return value


def conf() -> Conf:
    """Return the settings in force."""
    loaded: Conf = settings.DATAUNION
    return loaded
