"""Networks of the medical domain."""
