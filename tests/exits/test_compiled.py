"""A loop kept on disk is compiled anew when a rule it calls changes."""

import os
import subprocess
import sys
from pathlib import Path

LOOP = """
from pathlib import Path
from exits.rules.compiled import kept_with
from called import twice

@kept_with(Path(__file__).parent)
def loop(n):
    total = 0
    for k in range(n):
        total += twice(k)
    return total

if __name__ == "__main__":
    value = loop(4)
    print(value, sum(loop.stats.cache_hits.values()))
"""
RULE = """
from exits.rules.compiled import rule

@rule
def twice(k):
    return {factor} * k
"""


def said(folder):
    done = subprocess.run(
        [sys.executable, "loop.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_changed_rule_is_noticed_and_an_unchanged_one_is_not_compiled_again(tmp_path):
    (tmp_path / "loop.py").write_text(LOOP)
    (tmp_path / "called.py").write_text(RULE.format(factor=2))
    assert said(tmp_path) == ["12", "0"]
    assert said(tmp_path) == ["12", "1"]
    (tmp_path / "called.py").write_text(RULE.format(factor=3))
    assert said(tmp_path) == ["18", "0"]
