# make eval and make test set everything up on a fresh Debian with Python 3.11 or newer, the first time.
# ARGS is handed on: make eval ARGS="suite=libero_spatial inits=10".

.PHONY: eval test train lint setup clean

eval: setup  ## the shipped policy in the real LIBERO: 20 episodes, table, videos, report
	@.venv/bin/playloop eval $(ARGS)

test: setup  ## all tests, those on the real simulator included
	@.venv/bin/python -m pytest $(ARGS)

train: setup  ## record demonstrations and train on them: hours on two cores, see the README
	@.venv/bin/playloop record suite=libero_object agent=expert out=data/libero_object
	@.venv/bin/playloop train data=data/libero_object out=runs/libero_object $(ARGS)

lint: setup  ## ruff, sizes of files and functions, mypy
	@.ci/lint

setup:
	@.ci/setup

clean:  ## remove the virtual environment and caches; results under runs/ and data/ stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
