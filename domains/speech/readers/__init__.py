"""Readers of audio files and of sets of voices and mixtures."""
