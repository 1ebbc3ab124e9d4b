"""Batches: what is run over which items with what limits; every item ends in exactly one status."""
