"""Make an administrator, or find the one there is, and print a one-time sign-in link."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from dataunion.access import ADMIN
from dataunion.models import User
from dataunion.signin import VALID_HOURS, make_link


class Command(BaseCommand):
    """./run manage create_admin [--username admin] [--email …]"""

    help = "Makes an administrator, or finds the one there is, and prints a one-time sign-in link."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--username", default="admin")
        parser.add_argument("--email", default="")

    def handle(self, *args: Any, username: str, email: str, **options: Any) -> None:
        """Print the link on standard output, alone on its line."""
        if settings.EMBEDDED:
            call_command("migrate", verbosity=0, interactive=False)
        user = User.objects.filter(username=username).first()
        if user is None:
            user = User.objects.create_superuser(username=username, email=email, password=None)
        elif not (user.is_superuser and user.is_staff and user.is_active):
            raise CommandError(f"{username} is there and is no administrator; choose another --username.")
        user.groups.add(*Group.objects.filter(name=ADMIN))
        self.stderr.write(f"Sign in as {username} with this link, once, within {VALID_HOURS} hours:")
        self.stdout.write(make_link(user))
