"""Health checks of the containers: exit status 0 when all is well, else 1 with the reason. Standard library only.

python deploy/healthy.py web        the web server of this container is ready to work
python deploy/healthy.py acts 60    the worker or beat of this container did something in the last 60 seconds
"""

from __future__ import annotations

import http.client
import os
import sys
import time
from pathlib import Path

_PATIENCE_S = 5


def why_web_is_ill(port: str, hosts: str) -> str | None:
    """Ask /readyz under the first of the names that are allowed; return what is wrong, or None."""
    host = hosts.split(",")[0].strip().lstrip(".*") or "127.0.0.1"
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=_PATIENCE_S)
    try:
        connection.request("GET", "/readyz", headers={"Host": host})
        answer = connection.getresponse()
        return None if answer.status == 200 else answer.read(2000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {error}"
    finally:
        connection.close()


def why_acts_are_ill(file: str, within_s: float) -> str | None:
    """Look at the age of the sign of life; return what is wrong, or None."""
    try:
        age_s = time.time() - Path(file).stat().st_mtime
    except OSError:
        return "it has not done anything yet"
    return None if age_s <= within_s else f"it last did something {age_s:.0f} s ago"


if __name__ == "__main__":
    if sys.argv[1] == "web":
        sys.exit(why_web_is_ill(os.environ.get("GRANIAN_PORT", "8000"), os.environ.get("DJANGO_ALLOWED_HOSTS", "")))
    sys.exit(why_acts_are_ill(os.environ["DATAUNION_ALIVE_FILE"], float(sys.argv[2])))
