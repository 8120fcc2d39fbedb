"""From split rows to training results: walk-forward, scoring, local processes."""
