"""Market data: bars in; features, events, labels and splits out."""
