"""When again. Pure: attempts and bounds in, seconds out."""

from __future__ import annotations

from random import Random

_random = Random()


def delay_s(attempts: int, *, base_s: float, cap_s: float, random: Random = _random) -> float:
    """Return the seconds before the next attempt: doubling from base to cap, at least half of it after jitter."""
    full = min(cap_s, base_s * 2.0 ** min(attempts - 1, 60))
    return full * random.uniform(0.5, 1.0)


def clamp_retry_after(seconds: float, *, floor_s: float, cap_s: float) -> float:
    """Return what a partner's Retry-After may ask of us."""
    return min(cap_s, max(floor_s, seconds))
