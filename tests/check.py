"""./run check: format, lint, types, import contracts, migrations. Exactly what .ci/run calls."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

STEPS = (
    ("format", "ruff format --check ."),
    ("lint", "ruff check ."),
    ("import contracts", "lint-imports --no-cache"),
    ("types", "mypy"),
    ("migrations", "manage.py makemigrations --check --dry-run"),
    ("system checks", "manage.py check"),
)


def main() -> int:
    """Run every step; return how many failed."""
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "DATAUNION_VAR_DIR": home, "DATABASE_URL": ""}
        failed = [name for name, command in STEPS if not _run(name, command, env)]
    print("check: " + (f"failed: {', '.join(failed)}" if failed else "all right"), flush=True)
    return len(failed)


def _run(name: str, command: str, env: dict[str, str]) -> bool:
    print(f"check: {name}", flush=True)
    program, *arguments = command.split()
    run = [sys.executable, program] if program == "manage.py" else [f"{os.path.dirname(sys.executable)}/{program}"]
    return subprocess.run([*run, *arguments], env=env, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
