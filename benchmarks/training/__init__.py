"""What training costs: a naive loop, a bare one, and Assay's own command, on the same rows."""
