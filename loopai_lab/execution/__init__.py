"""Batches: what is run over which items with what limits, one session per item, every item ending in exactly one status."""
