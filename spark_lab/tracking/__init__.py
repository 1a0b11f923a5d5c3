"""What a run leaves behind: the JSONL files (the truth), the MLflow copy and the console."""
