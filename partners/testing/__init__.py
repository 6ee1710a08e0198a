"""What adapters and the engine are tested with; importable without pytest.

A new adapter's tests subclass `PartnerContract` and fill in its hooks.
"""

from partners.testing.contract import PartnerContract
from partners.testing.driver import MemoryLedger, ask, run_chunk, run_steps
from partners.testing.fake import FakePartner, FakeService

__all__ = ["FakePartner", "FakeService", "MemoryLedger", "PartnerContract", "ask", "run_chunk", "run_steps"]
