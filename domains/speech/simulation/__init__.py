"""Voices and noises made from a seed: pulses and noise through a moving vocal tract."""
