"""Classifiers of the observations themselves: no Gaussian process, a probability after every observation."""
