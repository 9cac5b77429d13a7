"""Readers of whole data sets: the tables that come with them, to studies whose images are read later."""
