"""MLflow shows what the records hold: read here, written here, and nowhere else."""
