"""Secrets of the embedded instance: made once, kept in its folder, never used by a deployment with DATABASE_URL."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path


def embedded_secrets(folder: Path) -> dict[str, str]:
    """Return the instance's secrets, made (mode 0600) when there are none yet."""
    path = folder / "secrets.env"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = {
            "SECRET_KEY": secrets.token_urlsafe(50),
            "DATAUNION_VAULT_KEYS": base64.b64encode(os.urandom(32)).decode(),
            "DATAUNION_DIGEST_KEY": base64.b64encode(os.urandom(32)).decode(),
        }
        lines = "".join(f"{name}={value}\n" for name, value in made.items())
        draft = path.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(lines)
        try:
            os.link(draft, path)  # whoever links first wins; the others read the winner's
        except FileExistsError:
            pass
        draft.unlink()
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if line)
