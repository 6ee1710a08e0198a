"""The admin in a real browser, against a running DataUnion with real failures."""
