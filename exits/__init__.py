"""How to get out of a trade: the 132 parameters, their rules, policies, and what trades teach."""
