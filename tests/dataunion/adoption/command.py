"""The command as the tests run it."""

from __future__ import annotations

from io import StringIO

from django.core.management import call_command


def adopt(uri: str, *options: str, watch: str = "0.1") -> tuple[int, str, str]:
    """Run it; return its status, what it printed and what it told on the way. Raises CommandError."""
    out, err = StringIO(), StringIO()
    try:
        call_command("adopt_mongoose", "--uri", uri, "--watch", watch, *options, stdout=out, stderr=err)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()
