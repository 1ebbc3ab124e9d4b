"""The session pool: who gets which session when, and honest books about it."""
