"""Settings of the flows' processes: the tests' own, but the partners of the environment, with their real adapters."""

from dataunion_project.settings import PARTNERS as _REAL
from tests.settings import *  # noqa: F403

PARTNERS = _REAL
