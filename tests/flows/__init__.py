"""Whole flows: from REST to synced, with real processes."""
