"""Signals made by ourselves, and the files that they are written to."""
