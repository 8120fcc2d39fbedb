"""What a sweep is worth where there is an edge, what it deploys of noise, and what it costs."""
