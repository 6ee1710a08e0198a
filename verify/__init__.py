"""The verification: a program of its own that reads input, S3 and chain, and says whether every record is there.

It imports nothing of the rest of this repository, so that a fault there cannot hide itself here.
"""
