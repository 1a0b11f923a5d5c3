"""Named sweeps: each file is a primary config (`spark-lab -cn NAME`)."""
