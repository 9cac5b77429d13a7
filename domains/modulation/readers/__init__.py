"""Readers of frame sets and of recordings, one format a file; `armillary.domains.modulation.read` chooses."""
