"""Akave: encrypted objects in S3-compatible decentralised storage."""
