"""Partner adapters: how one record reaches one partner. Knows nothing of Django or of DataUnion's tables."""
