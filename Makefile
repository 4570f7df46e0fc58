# make eval and make test set everything up on a fresh Debian with Python 3.11 or newer, the first time.
# ARGS is handed on: make eval ARGS="suite=libero_spatial inits=10".

.PHONY: eval test train lint setup clean

eval: setup  ## the shipped policy in the real LIBERO: 20 episodes, table, videos, report
	@.venv/bin/playloop eval $(ARGS)

test: setup  ## all tests, those on the real simulator included
	@.venv/bin/python -m pytest $(ARGS)

RECORD = .venv/bin/playloop record env.success_steps=10 agent.disturbance=0.02 stride=4 seed=1

train: setup  ## the shipped policy again, from nothing: an hour and a quarter on two cores
	@$(RECORD) suite=libero_object episodes=280 out=data/libero_object
	@$(RECORD) suite=libero_spatial episodes=200 out=data/libero_spatial
	@.venv/bin/playloop train data=[data/libero_object,data/libero_spatial] training=cpu policy.draws=1 \
		training.trainer.precision=bf16 training.trainer.rate=6e-4 training.trainer.steps=5000 out=runs/libero

lint: setup  ## ruff, sizes of files and functions, mypy
	@.ci/lint

setup:
	@.ci/setup

clean:  ## remove the virtual environment and caches; results under runs/ and data/ stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
