"""Price files of any usual kind, read as they stand: nothing is judged or repaired here."""
