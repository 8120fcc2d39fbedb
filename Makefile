# `make help` lists the targets. Every one of them builds the environment first where it is missing.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PORT ?= 5000
ARGS ?=
MANIFEST ?= deploy/deployment_manifest.json

.DEFAULT_GOAL := help
.PHONY: help setup train smoke sweep backtest exits retrain serve ui test honesty sweeping replayspeed exitspeed bench guard driftcheck chaos eventchaos eventspeed fuzz lint docs clean

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: $(READY) ## Build .venv with the exact versions of constraints.txt

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Python 3.11 is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --use-pep517 --disable-pip-version-check --constraint constraints.txt --editable ".[cpu,dev]"
	touch $(READY)

train: $(READY) ## Train on the simulated market; your data: make train ARGS="data=bars data.dir=FOLDER"
	$(BIN)/python -m pipelines.train_all $(ARGS)

smoke: $(READY) ## One simulated symbol through everything in about ten seconds
	$(BIN)/python -m pipelines.train_all debug=smoke $(ARGS)

sweep: $(READY) ## Tune on the simulated market; your data: make sweep ARGS="data=bars data.dir=FOLDER"
	$(BIN)/python -m pipelines.sweep $(ARGS)

backtest: $(READY) ## Replay what was deployed; your data: make backtest ARGS="data=bars data.dir=FOLDER"
	$(BIN)/python -m pipelines.backtest $(ARGS)

exits: $(READY) ## Learn exits from experiences: make exits ARGS="experiences=FOLDER"
	$(BIN)/python -m pipelines.train_exits $(ARGS)

retrain: $(READY) ## Train drifted symbols again: make retrain ARGS="manifest=FILE data=bars data.dir=FOLDER"
	$(BIN)/python -m pipelines.retrain $(ARGS)

serve: $(READY) ## Predictions over HTTP by what was deployed: make serve ARGS="exit_model=FOLDER"
	$(BIN)/python -m pipelines.serve $(ARGS)

ui: $(READY) ## Compare runs in MLflow on http://127.0.0.1:5000 (another port: make ui PORT=5001)
	MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
	$(BIN)/mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db \
	  --default-artifact-root mlruns/artifacts --host 127.0.0.1 --port $(PORT) --workers 1

test: lint ## Lint, types, import rules and all tests
	$(BIN)/python -m pytest --numprocesses auto $(ARGS)

honesty: $(READY) ## Simulate noise and known signals: how often noise is deployed, and a signal found
	$(BIN)/python -m benchmarks.honesty run null --runs 2 $(ARGS)
	$(BIN)/python -m benchmarks.honesty run power --runs 1 $(ARGS)
	$(BIN)/python -m benchmarks.honesty report

sweeping: $(READY) ## Sweep markets whose truth is known: what it gains, what it deploys of noise, what it costs
	$(BIN)/python -m benchmarks.sweeping throughput --repeats 3 $(ARGS)
	$(BIN)/python -m benchmarks.sweeping edge --seeds 4 $(ARGS)
	$(BIN)/python -m benchmarks.sweeping noise --minutes 40 $(ARGS)
	$(BIN)/python -m benchmarks.sweeping report

replayspeed: $(READY) ## The replay beside backtesting.py and vectorbt: speed, and trade by trade
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[bench]"
	$(BIN)/python -m benchmarks.replay_speed $(ARGS)

exitspeed: $(READY) ## Reading experiences, and one exit decision beside PyTorch: speed
	$(BIN)/python -m benchmarks.experience_speed $(ARGS)
	$(BIN)/python -m benchmarks.exit_decision $(ARGS)

bench: $(READY) ## Write what hot paths cost beside fixed work: runs/bench/ratios.json
	$(BIN)/python -m benchmarks.ratios $(ARGS)

guard: bench ## Fail if a hot path has lost a fifth since benchmarks/ratios.json was landed
	$(BIN)/python -m benchmarks.guard

driftcheck: $(READY) ## How soon drift is found, how rarely falsely: make driftcheck MANIFEST=FILE (simulated market)
	$(BIN)/python -m benchmarks.drift_detection $(MANIFEST) $(ARGS)

chaos: $(READY) ## Kill one run 50 times at random moments, compare its end with a quiet run's
	$(BIN)/python -m benchmarks.chaos $(ARGS)

eventchaos: $(READY) ## Kill redis-server, publisher and recorder 20 times each: every trade recorded once
	$(BIN)/python -m benchmarks.event_chaos $(ARGS)

eventspeed: $(READY) ## Events published and recorded a second by each bus, beside plain writes to the disk
	$(BIN)/python -m benchmarks.event_speed $(ARGS)

fuzz: $(READY) ## Search long for a file that the readers cannot bear
	ASSAY_FUZZ_EXAMPLES=20000 $(BIN)/python -m pytest tests/broken_inputs/test_fuzz.py $(ARGS)

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY) ## Write the pages anew that are made from the code
	$(BIN)/python -c 'from market.features.catalogue import markdown_page; print(markdown_page(), end="")' > docs/features.md
	$(BIN)/python -c 'from exits.parameter_page import markdown_page; print(markdown_page(), end="")' > docs/exit_parameters.md
	$(BIN)/python -m tests.exits.liveness

clean: ## Remove the environment, results and MLflow store; deploy/ stays
	rm -rf $(VENV) runs mlruns/artifacts mlruns/mlflow.db*
