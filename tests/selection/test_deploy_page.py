"""The Python of docs/deploy.md does what it says."""

import re
from pathlib import Path

import numpy as np
import pytest

from selection import DeployedModels

PAGE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_gives_the_probabilities_of_the_deployed_model(
    example, onnx_copied, tables, monkeypatch
):
    onnx_copied.rename(onnx_copied.with_name("deployment_manifest.json"))
    monkeypatch.chdir(onnx_copied.parents[1])
    said = {"rows": tables["EURUSD"].x_NF}
    exec(example, said)  # noqa: S102
    deployed = DeployedModels.from_manifest("deploy/deployment_manifest.json")
    wanted_N = deployed.predict_proba("EURUSD", tables["EURUSD"].x_NF)[:, 1]
    assert np.abs(said["p_win"] - wanted_N).max() <= 1e-6


def test_every_way_of_deploying_in_python_has_an_example():
    assert ["DeployedModels" in one for one in EXAMPLES] == [True, False]
