"""Data cards of the speech domain."""
