# Two commands matter: `make demo` and `make test`. Both start from nothing.
PYTHON ?= python3.11
VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
ARGS   ?=

.PHONY: demo test check fmt lock proto fuzz bench clean help

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t12

$(STAMP): requirements/dev.lock pyproject.toml
	@tools/make-venv "$(PYTHON)" "$(VENV)"
	@tools/get-promtool "$(VENV)/bin"
	@tools/get-pebble "$(VENV)/bin"
	@touch $@

demo: $(STAMP)  ## real Envoy + OpenBao + sidecar on loopback; ARGS=--once leaves after the table
	@$(VENV)/bin/sidecar demo $(ARGS)

test: $(STAMP)  ## every test and every check
	@$(MAKE) --no-print-directory check
	@$(PY) -m pytest $(ARGS)

check: $(STAMP)  ## formatting, lint, types: what pre-commit runs too
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/hadolint Dockerfile

fmt: $(STAMP)  ## put the formatting right
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

proto: $(STAMP)  ## regenerate sidecar/pb from proto/
	@$(PY) tools/generate_pb.py

lock: $(STAMP)  ## re-resolve requirements/*.in into hashed locks
	@tools/lock "$(PYTHON)"

clean:  ## remove the environment and the caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

bench: $(STAMP)  ## what a Check costs, side by side; minutes
	@$(PY) -m bench.check
	@$(PY) -m bench.through_envoy
	@$(PY) -m bench.certificate_figures

SECONDS ?= 60
fuzz: $(STAMP)  ## fuzz the parsers; SECONDS=600 for longer each
	@for target in token signed path check credential host; do \
	  mkdir -p build/fuzz/$$target; \
	  $(PY) -m tests.fuzz.targets $$target build/fuzz/$$target tests/fuzz/corpus/$$target \
	    -max_total_time=$(SECONDS) -timeout=5 -max_len=16384 -artifact_prefix=build/fuzz/ || exit 1; \
	done
