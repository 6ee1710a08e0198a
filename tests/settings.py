"""Settings of the tests: the deployment's own, on a database and with keys made for this run."""

from __future__ import annotations

import base64
import os
import tempfile

_home = os.environ.get("DATAUNION_VAR_DIR") or tempfile.mkdtemp(prefix="dataunion-tests-")
os.environ["DATAUNION_VAR_DIR"] = _home
os.environ.setdefault("SECRET_KEY", "tests only " + "x" * 40)
os.environ.setdefault("DATAUNION_VAULT_KEYS", base64.b64encode(bytes(32)).decode())
os.environ.setdefault("DATAUNION_DIGEST_KEY", base64.b64encode(bytes(range(32))).decode())
os.environ.setdefault("DATABASE_URL", f"sqlite:///{_home}/tests.sqlite3")
# A server within or beside a test must not look for alerts in the middle of it.
os.environ.setdefault("DATAUNION_ALERT_WATCH_S", "1e6")
os.environ.setdefault("REDIS_URL", "redis://127.0.0.1:9/0")  # nothing listens there: no test may need a broker

from dataunion_project.settings import *  # noqa: E402, F403
from dataunion_project.settings import DATABASES, INSTALLED_APPS, MONGODB  # noqa: E402
from dataunion_project.settings import PARTNERS as DEPLOYED_PARTNERS  # noqa: E402, F401

if MONGODB:
    INSTALLED_APPS = [*INSTALLED_APPS, "tests.apps.TestsConfig"]
elif DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file, not memory: workers are other threads and other processes.
    DATABASES["default"]["TEST"] = {"NAME": f"{_home}/tests.sqlite3"}
PARTNERS = {
    "akave": {"BACKEND": "partners.testing.FakePartner", "OPTIONS": {}},
    "vana": {"BACKEND": "partners.testing.FakePartner", "OPTIONS": {}},
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
