"""The only reader of the environment. A missing or wrong value names its variable and what it should hold.

Without DATABASE_URL this is an embedded instance: SQLite and its own secrets in DATAUNION_VAR_DIR (var/local).
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
import structlog
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static

from dataunion.conf import Conf
from dataunion.state import PARTNER_NAME_PATTERN, DataType
from dataunion_project.local import embedded_secrets
from dataunion_project.mail import parse_addresses, parse_hook, parse_hour, parse_mail_server

BASE_DIR = Path(__file__).resolve().parent.parent
EMBEDDED = not (os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE"))
VAR_DIR = Path(os.environ.get("DATAUNION_VAR_DIR") or BASE_DIR / "var" / "local").resolve()
_EMBEDDED_SECRETS = embedded_secrets(VAR_DIR) if EMBEDDED else {}


def _read(name: str, holds: str, parse: Callable[[str], Any], default: str | None = None) -> Any:
    """Read NAME or the file named by NAME_FILE; say what it should hold when it is missing or wrong."""
    path = os.environ.get(f"{name}_FILE")
    try:
        value = Path(path).read_text().strip() if path else os.environ.get(name) or _EMBEDDED_SECRETS.get(name, default)
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ImproperlyConfigured(f"{name}_FILE cannot be read ({cause}); {name} should hold {holds}") from None
    if value is None:
        raise ImproperlyConfigured(
            f"{name} is not set; it should hold {holds} (or {name}_FILE the path of such a file)"
        )
    try:
        return parse(value)
    except (ValueError, binascii.Error):
        raise ImproperlyConfigured(f"{name} is wrong; it should hold {holds}") from None


def _key(text: str) -> str:
    if len(base64.b64decode(text, validate=True)) != 32:
        raise ValueError
    return text


def _keys(text: str) -> list[str]:
    return [_key(part.strip()) for part in text.replace("\n", ",").split(",") if part.strip()] or [_key("")]


def _flag(text: str) -> bool:
    if text.lower() not in ("yes", "no", "true", "false", "on", "off", "1", "0"):
        raise ValueError
    return text.lower() in ("yes", "true", "on", "1")


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _secret(text: str) -> str:
    if len(text) < 40:
        raise ValueError
    return text


def _database(text: str) -> dict[str, Any]:
    if text.startswith(("mongodb://", "mongodb+srv://")):
        name = urlsplit(text).path.strip("/")
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise ValueError
        return {"ENGINE": "django_mongodb_backend", "HOST": text, "NAME": name}
    if text.startswith(("sqlite://", "postgres://", "postgresql://")):
        config = {**environ.Env.db_url_config(text)}
        if config["NAME"]:
            return config
    raise ValueError


def _names(text: str) -> list[str]:
    names = _list(text)
    if any(not re.fullmatch(PARTNER_NAME_PATTERN, name) for name in names):
        raise ValueError
    return names


def _starting(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not text.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError
        return text.rstrip("/")

    return parse


def _level(text: str) -> str:
    if text.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ValueError
    return text.upper()


_web, _broker = _starting("http", "https"), _starting("redis", "rediss")
DEBUG = _read("DJANGO_DEBUG", "yes or no", _flag, "no")
SECRET_KEY = _read("SECRET_KEY", "40 or more random characters", _secret)
VAULT_KEYS = _read("DATAUNION_VAULT_KEYS", "keys of 32 bytes in base64, newest first, separated by commas", _keys)
DIGEST_KEY = _read("DATAUNION_DIGEST_KEY", "a key of 32 bytes in base64", _key)
ALLOWED_HOSTS = _read("DJANGO_ALLOWED_HOSTS", "host names separated by commas", _list, "127.0.0.1,localhost")
CSRF_TRUSTED_ORIGINS = _read("DJANGO_CSRF_TRUSTED_ORIGINS", "origins (https://…) separated by commas", _list, "")
BASE_URL = _read("DATAUNION_BASE_URL", "https:// and the name at which staff open it", _web, "http://127.0.0.1:8000")
BROKER_URL = _read("REDIS_URL", "the broker's address, redis://host:port/number", _broker, "redis://127.0.0.1:6379/0")
_MAIL = _read("EMAIL_URL", "smtp://, smtp+tls:// or smtp+ssl://user:password@host:port", parse_mail_server, "")
CAN_SEND_EMAIL = "EMAIL_HOST" in _MAIL
vars().update(_MAIL)  # EMAIL_BACKEND, EMAIL_HOST and what else Django wants to know
EMAIL_TIMEOUT = 10.0
_SENDER = f"dataunion@{urlsplit(BASE_URL).hostname}"
DEFAULT_FROM_EMAIL = _read("DEFAULT_FROM_EMAIL", "the address from which e-mail is sent", str, _SENDER)
# Who is told when something is wrong: nobody, unless they are set.
ALERT_EMAILS = _read("DATAUNION_ALERT_EMAILS", "e-mail addresses separated by commas", parse_addresses, "")
ALERT_URL = _read("DATAUNION_ALERT_URL", "the http(s) URL of a Slack-compatible webhook", parse_hook, "")
ALERT_ALLOW_PRIVATE = _read("DATAUNION_ALERT_ALLOW_PRIVATE", "yes or no", _flag, "no")
ALERT_DIGEST_HOUR = _read("DATAUNION_ALERT_DIGEST_HOUR", "an hour from 0 to 23 (UTC), or off", parse_hour, "7")
# Touched by workers and beats as they work; a health check looks at its age.
ALIVE_FILE = _read("DATAUNION_ALIVE_FILE", "the path of a file", str, "")
DATABASES = {
    "default": _read(
        "DATABASE_URL",
        "mongodb://host/name, postgresql://user@host/name or sqlite:///path",
        _database,
        f"sqlite:///{VAR_DIR / 'dataunion.sqlite3'}",
    )
}
_ENGINE = DATABASES["default"]["ENGINE"]
MONGODB = _ENGINE == "django_mongodb_backend"
if _ENGINE == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
elif not MONGODB:
    DATABASES["default"].update(CONN_MAX_AGE=60, CONN_HEALTH_CHECKS=True)

try:
    DATAUNION = Conf.load(os.environ)
except ValueError as error:
    raise ImproperlyConfigured(str(error)) from None


def _partner(name: str, others: list[str]) -> dict[str, Any]:
    """Collect the options of one partner: option `x_y` of partner `akave` is AKAVE_X_Y (or AKAVE_X_Y_FILE)."""
    prefix = f"{name.upper()}_"
    longer = tuple(f"{other.upper()}_" for other in others if other.upper().startswith(prefix))
    names = {k.removesuffix("_FILE") for k in os.environ if k.startswith(prefix) and not k.startswith(longer)}
    options = {n.removeprefix(prefix).lower(): _read(n, "a value", str) for n in names if n != f"{prefix}BACKEND"}
    return {"BACKEND": os.environ.get(f"{prefix}BACKEND") or name, "OPTIONS": options}


# Names, in the order in which people see them. Each one's options come from variables that start with its name.
_NAMES = _read("DATAUNION_PARTNERS", "names (a-z, 0-9, _, -) separated by commas", _names, "akave,vana")
PARTNERS = {name: _partner(name, _NAMES) for name in _NAMES}
# Dotted paths of functions (record) -> reason or None, asked before anything is sent.
DATAUNION_SYNC_GATES = _read("DATAUNION_SYNC_GATES", "dotted paths separated by commas", _list, "")

# "off" stops new records and leaves all else working.
DATAUNION_TRACKING = _read("DATAUNION_TRACKING", "on or off", _flag, "on")
_LOADER = "DATAUNION_LOADER_"


def _loaders() -> dict[str, dict[str, Any]]:
    """Collect each data type's loader; option `x_y` of health's is DATAUNION_LOADER_HEALTH_X_Y (or …_FILE)."""
    given = {name for name in os.environ if name.startswith(_LOADER)}
    found: dict[str, dict[str, Any]] = {}
    for data_type in DataType:
        variable = f"{_LOADER}{data_type.upper()}"
        own = {name for name in given if name == variable or name.startswith(f"{variable}_")}
        given -= own
        names = {name.removesuffix("_FILE") for name in own} - {variable}
        values = {name.removeprefix(f"{variable}_").lower(): _read(name, "a value", str, "") for name in names}
        backend = _read(variable, "the dotted path of a loader", str, "")
        options = {name: value for name, value in values.items() if value}
        if backend or options:
            found[data_type.value] = {"BACKEND": backend, "OPTIONS": options}
    # What belongs to no type is kept under its name, for the check that tells of it.
    return found | {name.removeprefix(_LOADER).lower(): {"BACKEND": "", "OPTIONS": {}} for name in given}


# Data types whose data is kept elsewhere, and the dotted path of what reads it there.
LOADERS = _loaders()

INSTALLED_APPS = [
    "unfold",
    # The admin's pages are loaded by urls.py: workers do without them.
    "dataunion_project.apps.MongoAdminConfig" if MONGODB else "django.contrib.admin.apps.SimpleAdminConfig",
    "dataunion_project.apps.MongoAuthConfig" if MONGODB else "django.contrib.auth",
    "dataunion_project.apps.MongoContentTypesConfig" if MONGODB else "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "dataunion",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "dataunion.admin.signed_out.tell_signed_out",
]
if MONGODB:
    DATABASE_ROUTERS = ["django_mongodb_backend.routers.MongoRouter"]
    MIGRATION_MODULES = {app: f"dataunion_project.mongo_migrations.{app}" for app in ("admin", "auth", "contenttypes")}
DEFAULT_AUTO_FIELD = "django_mongodb_backend.fields.ObjectIdAutoField" if MONGODB else "django.db.models.BigAutoField"
AUTH_USER_MODEL = "dataunion.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ROOT_URLCONF = "dataunion_project.urls"
WSGI_APPLICATION = "dataunion_project.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
TIME_ZONE, USE_TZ, LANGUAGE_CODE = "UTC", True, "en-gb"
STATIC_URL, STATIC_ROOT = "/static/", VAR_DIR / "static"
WHITENOISE_USE_FINDERS = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Signed cookies, so that a session costs no table; sessions end with the browser or after 12 hours.
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
SESSION_COOKIE_AGE = 12 * 3600
_HTTPS = BASE_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _HTTPS
SESSION_COOKIE_HTTPONLY = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _HTTPS else None
SECURE_HSTS_SECONDS = 31_536_000 if _HTTPS else 0
LOGIN_URL, LOGIN_REDIRECT_URL = "/admin/login/", "/admin/"
DATA_UPLOAD_MAX_MEMORY_SIZE = None  # bodies are bounded by dataunion.api, which answers in JSON

CELERY_BROKER_URL = BROKER_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_connect_timeout": 0.5,
    "socket_timeout": 10.0,
    "max_retries": 1,  # for whoever sends a nudge; workers come back for ever
    "interval_start": 0.0,
    "interval_step": 0.1,
    "interval_max": 0.1,
}
CELERY_BROKER_POOL_LIMIT = 2
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_ACKS_LATE = False  # a message is a nudge: losing one costs a tick
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_TASK_DEFAULT_QUEUE = "dataunion"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "dataunion_project.beat:Clockwork"
# A message that nobody took is of no use later: the next one does the same. Beat's clock says when that is and the
# worker's clock whether it is over, so it is more than clocks are apart.
_BEAT_EXPIRES_S = 3 * 3600.0
CELERY_BEAT_SCHEDULE = {
    "tick": {
        "task": "dataunion.tick",
        "schedule": DATAUNION.sync_tick_s,
        "options": {"queue": "dataunion", "expires": _BEAT_EXPIRES_S},
    },
    "upkeep": {
        "task": "dataunion.upkeep",
        "schedule": 60.0,
        "options": {"queue": "dataunion", "expires": _BEAT_EXPIRES_S},
    },
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    # One JSON object a line; fields are ids, names and counts, never payloads, keys or tokens.
    "formatters": {
        "json": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
            "foreign_pre_chain": [
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            ],
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {
        "handlers": ["stderr"],
        "level": _read("DATAUNION_LOG_LEVEL", "DEBUG, INFO, WARNING or ERROR", _level, "INFO"),
    },
    # Below that they write whole requests and commands.
    "loggers": {name: {"level": "WARNING"} for name in ("urllib3", "botocore", "pymongo", "faker")},
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "dataunion.api.auth.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["dataunion.api.auth.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["dataunion.api.parsers.BoundedJSONParser"],
    "DEFAULT_THROTTLE_CLASSES": ["dataunion.api.auth.KeyThrottle"],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "dataunion.api.errors.handle",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "DataUnion",
    "DESCRIPTION": "Hand in health records and check-ins; read where they are synced; ask for retries.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "validatorUrl": None},  # the validator would be somebody else's server
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "PREPROCESSING_HOOKS": ["dataunion.api.schema.drop_slashed"],
    "SCHEMA_PATH_PREFIX": "/api",
    "ENUM_NAME_OVERRIDES": {
        "EntryStatus": "dataunion.api.answers.ENTRY_STATUSES",
        "JobStatus": "dataunion.api.answers.JOB_STATUSES",
        "RetriedStatus": "dataunion.api.inputs.RETRIED",
        "StatusFilter": "dataunion.api.inputs.STATUSES",
    },
}
UNFOLD = {
    "SITE_TITLE": "DataUnion",
    "SITE_HEADER": "DataUnion",
    "SITE_SUBHEADER": "What is synced where",
    "SITE_SYMBOL": "sync_saved_locally",
    "SITE_URL": None,
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "dataunion.admin.dashboard.add_figures",
    "SCRIPTS": [lambda request: static("dataunion/access.js"), lambda request: static("dataunion/times.js")],
    "STYLES": [lambda request: static("dataunion/access.css")],
    "SIDEBAR": {"navigation": "dataunion.admin.navigation.read_navigation"},
}
