"""Epochs sent elsewhere: to Weights & Biases and to MLflow, beside a run's own files."""
