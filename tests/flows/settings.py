"""Settings of the flows' processes: the tests' own, but the partners of the environment, with their real adapters."""

from tests.settings import *  # noqa: F403
from tests.settings import DEPLOYED_PARTNERS

PARTNERS = DEPLOYED_PARTNERS
