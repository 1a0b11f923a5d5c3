"""A search for the best configuration: Optuna asks, ordinary runs answer."""
