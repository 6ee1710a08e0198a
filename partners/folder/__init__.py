"""An in-house archive: each record a file in a folder (docs/partners/folder.md). The example of adding.md."""
