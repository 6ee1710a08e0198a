"""adopt_mongoose: take over the records of the old service, with the state they have. Its database is only read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dataunion.adoption.adopt import RISK, WATCH_S, Adoption, ChangingError
from dataunion.adoption.report import Report
from dataunion.adoption.source import Source, SourceError
from dataunion.ingest import TrackingOffError

STOPPABLE = "Stopping it at any time is safe: what came in stays, and the next run goes on with the rest."


class Command(BaseCommand):
    """Adopts an existing Mongoose deployment."""

    help = "Take over the records of the old Mongoose service, each with the state it has. The source is only read."

    def add_arguments(self, parser: CommandParser) -> None:
        """Say where the old database is."""
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument("--uri", help="mongodb://…/database of the old service")
        where.add_argument(
            "--uri-file", type=Path, help="a file that holds it, so that no password is on a command line"
        )
        parser.add_argument("--dry-run", action="store_true", help="write nothing, and print the same counts")
        parser.add_argument("--force", action="store_true", help=f"go on though the source changes. {RISK}")
        parser.add_argument(
            "--watch", type=float, default=WATCH_S, metavar="SECONDS", help="how long to see whether the source changes"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Adopt, then say what came of it; end with 1 if something could not be read."""
        report = Report(tell=self._tell)
        self._tell(STOPPABLE)
        if options["force"]:
            self._tell(RISK)
        try:
            source = Source(options["uri"] or options["uri_file"].read_text().strip())
        except OSError as error:
            raise CommandError(f"--uri-file cannot be read: {error.strerror}.") from None
        except SourceError as error:
            raise CommandError(f"Nothing was read: {error}.") from None
        try:
            self._adopt(source, report, options)
        finally:
            source.close()
        if report.reasons:
            sys.exit(1)

    def _adopt(self, source: Source, report: Report, options: dict[str, Any]) -> None:
        run = Adoption(source, report, dry_run=options["dry_run"], force=options["force"], watch_s=options["watch"])
        problem = ""
        try:
            run.run()
        except (SourceError, ChangingError, TrackingOffError) as error:
            problem = str(error)
        for line in report.sums(dry_run=options["dry_run"]) if report.read else ():
            self.stdout.write(line)
        if problem:
            raise CommandError(problem[0].upper() + problem[1:])

    def _tell(self, line: str) -> None:
        self.stderr.write(line)
        self.stderr.flush()
