"""Speech separation: the voices of one recording."""
