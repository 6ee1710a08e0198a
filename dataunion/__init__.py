"""DataUnion: the record of what is synced where, the open work, and the doors to both."""
