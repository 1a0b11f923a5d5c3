"""SPARK's training loop on top of TRL's GRPOTrainer."""
