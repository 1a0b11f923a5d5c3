"""Commands about one model, trained here or not: `spark-lab eval` and `spark-lab solve`."""
