"""SPARK beside TRL's GRPOTrainer: times and memory of the same windows, section by section."""
