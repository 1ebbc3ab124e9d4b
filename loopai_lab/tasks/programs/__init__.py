"""The programs of the bundled tasks, as they are sent to sessions: files to read, not modules to import."""
