"""Public benchmarks of answering and of judging: their rows, their questions, their scores."""
