"""Phantoms: images drawn from a seed with their truth. What is learned from them says nothing about people."""
