"""Mixtures of voices: levels, rooms, and mixtures drawn from a pool of voices."""
