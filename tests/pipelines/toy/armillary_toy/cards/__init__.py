"""Cards of the toy domain."""
