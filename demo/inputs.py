"""What the demo hands in: made-up check-ins and measurements, or real documents from a folder."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

from dataunion.files import Documents, Source, read_path, spread_over_users
from dataunion.ingest import IngestError, register_records
from demo.world import FOLDER

RECORDS = 60
USERS = 12
BATCH = 100


def generate() -> Path:
    """Write made-up documents, the same ones every time; return their folder."""
    folder, dice = FOLDER / "input", random.Random(1)
    for number in range(RECORDS):
        kind = "checkin" if number % 3 == 2 else "health"
        path = folder / kind / f"{number:03}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_checkin(number, dice) if kind == "checkin" else _heart_rate(number, dice)))
    return folder


def _heart_rate(number: int, dice: random.Random) -> dict[str, object]:
    return {
        "heart_rate": {"value": dice.randint(52, 110), "unit": "beats/min"},
        "effective_time_frame": {"date_time": f"2026-03-{1 + number % 28:02}T07:{number % 60:02}:00Z"},
    }


def _checkin(number: int, dice: random.Random) -> dict[str, object]:
    mood = dice.choice(["calm", "tired", "cheerful", "tense"])
    return {"mood": mood, "sleep_hours": dice.randint(4, 9), "note": f"Check-in {number}"}


def read(source: Path, include: str) -> list[Source]:
    """Read every document of a file or folder; those that cannot be records say why."""
    documents = Documents(user_hash=spread_over_users(USERS), data_type=_data_type)
    return list(read_path(source, include=include, documents=documents))


def _data_type(path: str) -> str:
    return "checkin" if path.startswith("checkin/") else "health"


def hand_in(sources: list[Source], told: Callable[[str], None]) -> int:
    """Register every document; return how many records there are now."""
    for bad in (s for s in sources if s.record is None):
        told(f"  refused: {bad.name}: {bad.problem}")
    good = [(s.name, s.record) for s in sources if s.record is not None]
    count = 0
    for start in range(0, len(good), BATCH):
        part = good[start : start + BATCH]
        for (name, _), result in zip(part, register_records([record for _, record in part]), strict=True):
            if isinstance(result, IngestError):
                told(f"  refused: {name}: {result}")
            else:
                count += result.created
    return count
