"""What sweeps find: hyperparameters tuned per symbol and model, and how they were judged."""
