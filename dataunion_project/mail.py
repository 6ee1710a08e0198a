"""What the setting of e-mail may hold. Raises ValueError for anything else."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import environ

_SCHEMES = ("smtp://", "smtp+tls://", "smtp+ssl://")


def parse_mail_server(text: str) -> dict[str, Any]:
    """Return Django's settings for sending e-mail; without a server all mail is dropped."""
    if not text:
        return {"EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend"}
    if not text.startswith(_SCHEMES) or not urlsplit(text).hostname:
        raise ValueError
    return {name: value for name, value in environ.Env.email_url_config(text).items() if value is not None}
