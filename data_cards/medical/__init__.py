"""Data cards of the medical domain."""
