# make demo: see it work. make test: the tests. make check: style and types. make oldest: the tests with the lowest
# versions that pyproject.toml allows. All in environments of their own, made when first needed.
PYTHON ?= python3
VENV := .venv
PINS := constraints.txt
BIN := $(VENV)/bin

.PHONY: demo test check slow oldest bench clean

$(VENV)/installed: pyproject.toml $(PINS)
	$(PYTHON) -m venv --without-pip $(VENV)
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check -c $(PINS) pip
	$(BIN)/pip install --quiet --disable-pip-version-check -c $(PINS) -e . --group dev
	touch $@

demo: $(VENV)/installed
	$(BIN)/twofold pretrain --recipe recipes/digits.toml --out runs/demo
	$(BIN)/twofold evaluate runs/demo --protocols knn,fewshot
	$(BIN)/twofold diagnose runs/demo
	$(BIN)/twofold report runs/demo
	@echo "runs/demo holds:" && ls runs/demo

test: $(VENV)/installed
	$(BIN)/pytest -n auto --dist loadfile

slow: $(VENV)/installed
	$(BIN)/pytest -m slow -n auto

oldest:
	$(MAKE) test slow VENV=.venv-oldest PINS=constraints-oldest.txt

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/installed
	$(BIN)/python benchmarks/augment.py
	$(BIN)/python benchmarks/loading.py
	$(BIN)/python benchmarks/step.py

clean:
	rm -rf .venv .venv-oldest runs build src/*.egg-info
