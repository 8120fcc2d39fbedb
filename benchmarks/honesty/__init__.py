"""How often the pipeline deploys noise, and how much of a known signal it finds."""
