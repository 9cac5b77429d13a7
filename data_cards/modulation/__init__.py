"""Cards of the modulation domain."""
