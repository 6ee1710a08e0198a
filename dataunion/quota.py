"""How often something may be done within a window of time, counted in Django's cache.

That is of one process, unless CACHES names a shared one: a limit is for each process then.
"""

from __future__ import annotations

from django.core.cache import cache


def admits(what: str, *, at_most: int, window_s: int, now_s: float) -> bool:
    """Count one more of `what` in the window in which `now_s` lies; say whether it is within the limit."""
    counter = f"{what}-{int(now_s // window_s)}"
    cache.add(counter, 0, 2 * window_s)
    try:
        return cache.incr(counter) <= at_most
    except ValueError:  # the cache was emptied in between
        return True
