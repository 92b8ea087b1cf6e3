# make demo: see it work. make test: the tests. make check: style and types. All in .venv, made when first needed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check slow bench clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv --without-pip .venv
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check -c constraints.txt pip
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e . --group dev
	touch $@

demo: .venv/installed
	$(BIN)/twofold pretrain --recipe recipes/digits.toml --out runs/demo
	$(BIN)/twofold evaluate runs/demo --protocols knn,fewshot
	$(BIN)/twofold diagnose runs/demo
	$(BIN)/twofold report runs/demo
	@echo "runs/demo holds:" && ls runs/demo

test: .venv/installed
	$(BIN)/pytest -n auto --dist loadfile

slow: .venv/installed
	$(BIN)/pytest -m slow -n auto

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/installed
	$(BIN)/python benchmarks/augment.py
	$(BIN)/python benchmarks/loading.py
	$(BIN)/python benchmarks/step.py

clean:
	rm -rf .venv runs build src/*.egg-info
