"""Runnable measurements and checks, one file each: `python -m benchmarks NAME`."""
