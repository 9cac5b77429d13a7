"""One card a dataset; the folder exists as a package so that its files resolve as resources."""
