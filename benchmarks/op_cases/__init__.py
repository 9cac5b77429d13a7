"""The cases of benchmarks/ops.py, one file a family of ops."""
