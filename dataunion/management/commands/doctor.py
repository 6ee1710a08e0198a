"""doctor: look at the live deployment; one line a check, and exit status 1 when something does not work."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from dataunion.diagnosis.examination import NOT_LOOKED_AT, examine
from dataunion.diagnosis.findings import Finding, Level


class Command(BaseCommand):
    """The checklist of a deployment."""

    help = (
        "Look at settings, keys, database, broker, workers, partners and endpoints; say what is wrong and the remedy."
    )
    requires_system_checks: list[str] = []  # they are among what is told

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what may be said."""
        parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
        parser.add_argument("--url", default="", help="ask the web server there (https://…), not this code")
        parser.add_argument("--ask-partners", action="store_true", help="ask each partner, as the admin's button does")

    def handle(self, *args: Any, **options: Any) -> None:
        """Examine and tell."""
        found = []
        for finding in examine(url=options["url"], ask_partners=options["ask_partners"]):
            found.append(finding)
            if not options["json"]:
                self.stdout.write(_line(finding))
        count = Counter(finding.level for finding in found)
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(found, count), indent=1))
        else:
            for line in NOT_LOOKED_AT:
                self.stdout.write(f"{'–':<8} not looked at: {line}")
            self.stdout.write(", ".join(f"{count[level]} {level}" for level in Level))
        if count[Level.PROBLEM]:
            sys.exit(1)


def _line(finding: Finding) -> str:
    remedy = f" → {finding.remedy}" if finding.remedy else ""
    return f"{finding.level:<8} {finding.check}: {finding.said}{remedy}"


def _as_json(found: list[Finding], count: Counter[Level]) -> dict[str, Any]:
    return {
        "counts": {str(level): count[level] for level in Level},
        "findings": [asdict(finding) for finding in found],
        "not_looked_at": list(NOT_LOOKED_AT),
    }
