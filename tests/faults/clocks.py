"""A process whose own clock is wrong, while the database's is right: FAULTS_CLOCK_S seconds ahead (or behind)."""

from __future__ import annotations

from collections.abc import Mapping


def shift_from_environment(env: Mapping[str, str]) -> None:
    """Shift time.time and datetime.now of this process by FAULTS_CLOCK_S, if it is set."""
    seconds = float(env.get("FAULTS_CLOCK_S", "0"))
    if seconds:
        import datetime

        import time_machine

        time_machine.travel(
            datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds), tick=True
        ).start()
