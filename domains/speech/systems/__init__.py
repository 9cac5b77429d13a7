"""Networks of the speech domain."""
