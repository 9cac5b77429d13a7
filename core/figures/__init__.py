"""Figures that the sciences share: confusion, calibration, and which items to draw as examples."""
