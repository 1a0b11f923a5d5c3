"""Configurations for `accelerate launch`: one run over several GPUs."""
