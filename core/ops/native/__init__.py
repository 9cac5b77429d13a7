"""Sources that all native kernels share; the built library lies here too."""
