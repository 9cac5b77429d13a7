"""Metrics of classifiers: each turns prediction records and item weights into one number. Free of torch."""
