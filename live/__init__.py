"""Live: events between processes, paper trading, what closed trades teach, the service."""
