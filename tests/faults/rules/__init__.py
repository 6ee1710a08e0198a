"""The ten invariants, one file for each place that they speak of; every rule yields what breaks it."""
