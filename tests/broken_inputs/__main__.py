"""Writes docs/broken_inputs.md anew: ``python -m tests.broken_inputs``."""

import logging
import tempfile
from pathlib import Path

from tests.broken_inputs.page import PAGE, page
from tests.broken_inputs.said import all_said

if __name__ == "__main__":
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(page(all_said(Path(folder))), encoding="utf-8")
