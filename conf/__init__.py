"""Hydra groups. Every key is explained where it is set."""
