"""Every test, and the runner behind ./run test."""
