"""What the settings of e-mail and alerts may hold. Each raises ValueError for anything else."""

from __future__ import annotations

import re
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


def parse_addresses(text: str) -> list[str]:
    """Return e-mail addresses that are separated by commas."""
    found = [part.strip() for part in text.split(",") if part.strip()]
    if any(not re.fullmatch(r"[^@\s]+@[^@\s]+", address) for address in found):
        raise ValueError
    return found


def parse_hook(text: str) -> str:
    """Return an http(s) URL, or "" for none."""
    if text and not re.fullmatch(r"https?://[^\s/@]+(/\S*)?", text):
        raise ValueError
    return text


def parse_hour(text: str) -> int | None:
    """Return an hour of the day, None for "off"."""
    if text == "off":
        return None
    if not 0 <= int(text) <= 23:
        raise ValueError
    return int(text)
