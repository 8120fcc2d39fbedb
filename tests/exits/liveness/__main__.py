"""Writes docs/exit_liveness.md anew: ``python -m tests.exits.liveness``."""

from tests.exits.liveness.page import PAGE, page

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
