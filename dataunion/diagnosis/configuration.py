"""The settings: complete, and safe where others can reach it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.http.request import validate_host

from dataunion.diagnosis.findings import Finding, ok, problem, warning

_ALSO_TOLD_OF_PARTNERS = "dataunion.E002"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def look() -> Iterator[Finding]:
    """Judge the settings in force."""
    yield from judge_checks(checks.run_checks())
    if settings.EMBEDDED:
        yield warning("settings", "embedded: database and keys lie in one folder", "set DATABASE_URL and the keys")
    yield from judge_reach(settings.BASE_URL, settings.ALLOWED_HOSTS)
    yield judge_debug(settings.DEBUG)
    yield judge_cookies(settings.BASE_URL, settings.SESSION_COOKIE_SECURE and settings.CSRF_COOKIE_SECURE)
    yield judge_logs(settings.LOGGING)


def judge_checks(messages: Sequence[checks.CheckMessage]) -> Iterator[Finding]:
    """Tell what Django's system checks and ours say."""
    told = [m for m in messages if m.is_serious() or m.id != _ALSO_TOLD_OF_PARTNERS]
    for message in told:
        make = problem if message.is_serious() else warning
        yield make("settings", f"{message.msg.rstrip('.')} ({message.id})", message.hint or "docs/settings.md")
    if not told:
        yield ok("settings", "complete")


def judge_reach(base_url: str, hosts: Sequence[str]) -> Iterator[Finding]:
    """Judge under which names it answers."""
    host = urlsplit(base_url).hostname or ""
    if "*" in hosts:
        yield warning("hosts", "it answers under any name", "name the hosts in DJANGO_ALLOWED_HOSTS")
    elif not validate_host(host, hosts):
        said = f"DATAUNION_BASE_URL names {host}, which DJANGO_ALLOWED_HOSTS does not"
        yield problem("hosts", said, "add it to DJANGO_ALLOWED_HOSTS")
    else:
        yield ok("hosts", ", ".join(hosts))


def judge_debug(debug: bool) -> Finding:
    """Judge DEBUG, which shows traces and settings to whoever asks."""
    return problem("debug", "DJANGO_DEBUG is on", "set it to no") if debug else ok("debug", "off")


def judge_cookies(base_url: str, secure: bool) -> Finding:
    """Judge whether sessions can be read on their way."""
    if base_url.startswith("https://"):
        if secure:
            return ok("https", f"{base_url}; cookies are for HTTPS only, browsers are told to stay with it")
        return problem("https", "cookies are sent without HTTPS too", "set SESSION_COOKIE_SECURE, CSRF_COOKIE_SECURE")
    if urlsplit(base_url).hostname in _LOOPBACK:
        return warning("https", f"{base_url}: for this machine only", "set DATAUNION_BASE_URL to https://… for others")
    return problem("https", f"{base_url} is not encrypted", "serve it by HTTPS and set DATAUNION_BASE_URL")


def judge_logs(logging: dict[str, Any]) -> Finding:
    """Judge form and level of the logs."""
    level = logging["root"]["level"]
    if [logging["handlers"][name].get("formatter") for name in logging["root"]["handlers"]] != ["json"]:
        return warning("logs", "not the JSON lines of the deployment", "leave LOGGING as settings.py has it")
    if level in ("DEBUG", "ERROR"):
        said = "much is logged" if level == "DEBUG" else "partners' trouble is not logged"
        return warning("logs", f"JSON lines, level {level}: {said}", "set DATAUNION_LOG_LEVEL to INFO or WARNING")
    return ok("logs", f"JSON lines on standard error, level {level}")
