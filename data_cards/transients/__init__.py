"""Cards of the transients domain."""
