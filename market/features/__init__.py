"""Features of bars, each known at its bar's close."""
