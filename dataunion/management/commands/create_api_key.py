"""./run manage create_api_key --scope read: make a key for another service and print it, once."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from dataunion import access

_MAX_DAYS = 3650


class Command(BaseCommand):
    """Makes an API key."""

    help = "Make an API key and print it. It is shown this once; only a digest of it is kept."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare what may be said."""
        parser.add_argument(
            "--scope",
            action="append",
            required=True,
            choices=[scope.value for scope in access.Scope],
            help="what the key may do; say it again for more. admin may do everything",
        )
        parser.add_argument("--name", default="service", help="whose key it is, as staff will see it")
        parser.add_argument("--days", type=float, help="after how many days it ends; left out: never")

    def handle(self, *args: Any, **options: Any) -> None:
        """Make and print."""
        if options["days"] is not None and not 0 < options["days"] <= _MAX_DAYS:
            raise CommandError(f"--days should be more than 0 and at most {_MAX_DAYS}")
        row, key = access.make_key(name=options["name"][:100], scopes=options["scope"], days=options["days"])
        ends = f"until {row.expires_at:%Y-%m-%d %H:%M} UTC" if row.expires_at else "for ever"
        self.stderr.write(f"Key of {row.name}: may {', '.join(row.scopes)}, {ends}. Keep it: it is shown only now.")
        self.stdout.write(key)
