"""Losses that more than one domain uses."""
