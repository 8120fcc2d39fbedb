"""What the replay is timed on, the packages it is timed beside, and how their trades compare."""
