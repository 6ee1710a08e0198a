"""import_records: hand in files. A bad one is told by name and reason, the rest goes in, and the exit status is 1."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dataunion.files import Documents, NothingFoundError, Source, read_path, spread_over_users
from dataunion.ingest import IngestError, register_records
from dataunion.state import DataType

_BATCH = 200


class Command(BaseCommand):
    """Registers records from JSON, NDJSON and folders of them."""

    help = "Hand in records: objects {user_hash, data_type, data_id, payload}, or with --data-type bare documents."

    def add_arguments(self, parser: CommandParser) -> None:
        """Say what to read, and whose it is."""
        parser.add_argument("path", type=Path, help="a .json, .ndjson or .jsonl file, or a folder of them")
        parser.add_argument("--include", default="*", help="which files of a folder, by relative path; * spans folders")
        parser.add_argument("--data-type", choices=list(DataType), help="each file is a document of this type")
        whose = parser.add_mutually_exclusive_group()
        whose.add_argument("--user-hash", help="whose the documents are")
        whose.add_argument("--users", type=int, metavar="N", help="or: spread over N made-up users, for a trial")

    def handle(self, *args: Any, **options: Any) -> None:
        """Import in batches."""
        try:
            sources = read_path(options["path"], include=options["include"], documents=_documents(options))
            created, same, bad = self._import(sources)
        except NothingFoundError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{created} new, {same} already here, {bad} refused")
        if bad:
            sys.exit(1)

    def _import(self, sources: Any) -> tuple[int, int, int]:
        created = same = bad = 0
        while batch := list(islice(sources, _BATCH)):
            for name, outcome in _register(batch):
                if isinstance(outcome, str):
                    bad += 1
                    self.stderr.write(f"{name}: {outcome}")
                else:
                    created, same = created + outcome, same + (not outcome)
            self.stderr.write(f"{created + same} records so far")
        return created, same, bad


def _register(batch: list[Source]) -> list[tuple[str, bool | str]]:
    """Return for each source whether it made a record, or why it did not."""
    good = [source for source in batch if source.record]
    results = register_records([source.record for source in good if source.record])
    outcomes: list[tuple[str, bool | str]] = [(source.name, source.problem) for source in batch if not source.record]
    for source, result in zip(good, results, strict=True):
        outcomes.append((source.name, str(result) if isinstance(result, IngestError) else result.created))
    return outcomes


def _documents(options: dict[str, Any]) -> Documents | None:
    data_type, user_hash, users = options["data_type"], options["user_hash"], options["users"]
    if not data_type:
        if user_hash or users:
            raise CommandError("--user-hash and --users go with --data-type")
        return None
    if not user_hash and not users:
        raise CommandError("whose are these documents? Say --user-hash HASH, or --users N for a trial")
    whose = spread_over_users(users) if users else lambda path: user_hash
    return Documents(user_hash=whose, data_type=lambda path: data_type)
