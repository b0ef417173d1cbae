# Two commands matter: `make demo` and `make test`. Both start from nothing.
PYTHON ?= python3.11
VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
GRADERS := $(VENV)/.graders
APPLICATIONS := $(VENV)/.applications
CLUSTER := $(VENV)/cluster/.installed
SITE := $(VENV)/.site
ARGS   ?=
# Tests start the sidecar some hundred times, and pip leaves compiling to the first import
# (tools/make-venv): where nothing may be written, each start compiles everything.
unexport PYTHONDONTWRITEBYTECODE
# Most tests wait for servers: two processes more than the two cores they are made for.
JOBS   ?= 4
# The tests of what Vault is asked, which run once more inside a namespace, but for those of time.
NAMESPACED := tests/vault tests/certificates/issuers tests/doctor/test_component.py

.PHONY: demo test test-idps test-pythons check fmt lock schema envoy-rules proto architecture envoy-files fuzz mutate bench bench-limits bench-envoy bench-peers scale soak graders grade clean help \
  decision-cache decision-cache-aarch64 decision-cache-wheels

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t12

$(STAMP): requirements/dev.lock pyproject.toml workload/pyproject.toml
	@tools/make-once $@ $^ -- sh -ec 'tools/make-venv "$(PYTHON)" "$(VENV)"; \
	  for each in promtool pebble redis dns pgbouncer; do tools/get-$$each "$(VENV)/bin"; done'

# These lie in the environment's folder, and are made after it, but not again when its lock changes.
$(GRADERS): tools/get-graders requirements/graders.lock requirements/node.lock tests/graders/package-lock.json | $(STAMP)
	@tools/make-once $@ $^ -- tools/get-graders "$(PYTHON)" "$(VENV)/graders"

$(APPLICATIONS): tools/get-applications requirements/applications.lock requirements/node.lock tests/applications/package-lock.json tests/idp/package-lock.json | $(STAMP)
	@tools/make-once $@ $^ -- tools/get-applications $(PY) "$(VENV)/applications"

$(SITE): tools/get-site requirements/site.lock | $(STAMP)
	@tools/make-once $@ $^ -- tools/get-site "$(PYTHON)" "$(VENV)/site"

.PHONY: site
site: $(SITE)  ## the documentation as a site, in build/site; warnings are errors
	@NO_MKDOCS_2_WARNING=1 $(VENV)/site/bin/mkdocs build
	@echo "build/site/index.html"

graders: $(GRADERS)  ## install what grades the edge from outside

grade: $(GRADERS)  ## csp_evaluator, Observatory, sslyze, testssl.sh over the demo's edge, in full
	@WHOLE_GRADE=1 $(PY) -m pytest tests/graders $(ARGS)

demo: $(STAMP)  ## real Envoy + OpenBao + sidecar on loopback; ARGS=--once leaves after the table
	@$(VENV)/bin/sidecar demo $(ARGS)

test: $(STAMP)  ## every test and every check; JOBS=0 runs the tests one by one
	@tools/get-chromium
	@tools/get-c-tools
	@tools/get-deploy-tools
	@$(MAKE) --no-print-directory --jobs=3 --output-sync=target check collected $(GRADERS) $(APPLICATIONS) $(SITE)
	@rm -f .pytest_cache/v/cache/lastfailed
	@$(PY) -m pytest -n $(JOBS) --dist loadgroup $(ARGS) || $(PY) tools/second_look.py
	@SEPTEM_TEST_NAMESPACE=team $(PY) -m pytest -q -n $(JOBS) --dist loadgroup -m "real and not quiet" $(NAMESPACED)

.PHONY: collected
collected: $(STAMP)
	@# Every process that runs tests imports all of them: compiled here, once.
	@tools/quiet $(PY) -m pytest --collect-only -qq

test-idps: $(STAMP) $(APPLICATIONS)  ## tokens of a real Keycloak and a real Hydra; where there are Java, Maven and Go
	@tools/get-idps "$(VENV)/idps"
	@SEPTEM_TEST_IDPS=1 $(PY) -m pytest tests/idp $(ARGS)

test-pythons: $(STAMP) $(APPLICATIONS)  ## the tests that start no Envoy, under Python 3.12 and 3.13 where they are
	@tools/test-pythons "$(VENV)/pythons" $(ARGS)

.PHONY: image image-lock test-image test-kubernetes kubernetes
image: $(STAMP)  ## the container image without an engine, in build/image; where there is apt
	@rm -rf build/image && mkdir -p build/image
	@$(PY) tools/image_tree.py build/image/tree
	@$(PY) tools/oci_layout.py build/image/tree build/image/oci build/image/septem-sidecar.tar

image-lock:  ## write deploy/image/debian.lock: Debian's newest packages for the image
	@tools/lock-image deploy/image/debian.lock

test-image: $(STAMP)  ## build the image twice, and run it by runc and bubblewrap; minutes
	@SEPTEM_TEST_IMAGE=1 tools/get-deploy-tools
	@SEPTEM_TEST_IMAGE=1 $(PY) -m pytest tests/packaging/test_image_run.py $(ARGS)

.PHONY: release
release: $(STAMP)  ## wheels, sdists, locks, SBOM, provenance of this commit, built twice and tried, in dist; ARGS="--sign-with KEY --public-key PUB"
	@tools/get-c-tools
	@$(PY) -m tools.release $(ARGS)

$(CLUSTER): tools/get-cluster tools/write_crds.py tools/cluster/go.mod tools/cluster/go.sum | $(STAMP)
	@tools/get-cluster "$(VENV)/cluster" $(PY)

test-kubernetes: $(CLUSTER)  ## the chart and the gateways' files in a real control plane, their pods run; where there is Go
	@tools/get-deploy-tools
	@tools/get-helm "$(VENV)/bin"
	@SEPTEM_TEST_CLUSTER=1 $(PY) -m pytest tests/deploy/test_kubernetes.py tests/deploy/test_gateways.py tests/deploy/kubernetes $(ARGS)

.PHONY: test-compose
test-compose: $(STAMP)  ## the Compose file by Docker Compose's own parser; where there is Go
	@tools/get-compose-go "$(VENV)/bin"
	@$(PY) -m pytest tests/deploy/test_compose.py $(ARGS)

kubernetes: $(STAMP)  ## write the chart's copies and the plain manifests, by helm
	@tools/get-helm "$(VENV)/bin"
	@$(PY) tools/write_kubernetes.py

test-clickhouse: $(STAMP)  ## audit lines, and tenants' queries, by ClickHouse's real engine; 500 MB
	@tools/get-clickhouse "$(PYTHON)" "$(VENV)/clickhouse"
	@SEPTEM_TEST_CLICKHOUSE=$(VENV)/clickhouse/bin/python $(PY) -m pytest tests/observability/audit/test_clickhouse_engine.py \
	  tests/workload/tenancy/clickhouse/test_engine.py \
	  tests/workload/tenancy/clickhouse/test_driver.py $(ARGS)

check: $(STAMP)  ## formatting, lint, types, layers: what pre-commit runs too
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@tools/quiet $(VENV)/bin/lint-imports
	@$(VENV)/bin/hadolint Dockerfile

fmt: $(STAMP)  ## put the formatting right
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

proto: $(STAMP)  ## regenerate sidecar/pb from proto/
	@$(PY) tools/generate_pb.py

envoy-files: $(STAMP)  ## write envoy/edge*.yaml from the template of `sidecar envoy init`
	@$(PY) tools/write_envoy_files.py

.PHONY: dashboard
dashboard: $(STAMP)  ## write deploy/grafana-dashboard.json from the table of its panels
	@$(PY) tools/write_dashboard.py

architecture: $(STAMP)  ## draw docs/images/architecture.svg from the imports
	@$(PY) tools/draw_architecture.py

schema: $(STAMP)  ## write what is shipped of the documents: the JSON Schema, the reasons
	@$(PY) tools/write_schema.py
	@$(PY) tools/write_reasons.py

.PHONY: reference
reference: $(STAMP)  ## write docs/reference-*.md: settings, commands, metrics, alerts and more
	@$(PY) -m tools.write_reference

envoy-rules: $(STAMP)  ## write the table of docs/envoy-lint.md from the rules
	@$(PY) tools/write_envoy_rules.py

lock: $(STAMP)  ## re-resolve requirements/*.in into hashed locks
	@tools/lock "$(PYTHON)"

clean:  ## remove the environment and the caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	rm -rf envoy/decision_cache/build

bench: $(STAMP)  ## what a Check costs, side by side; ten minutes; writes bench/RESULTS.md
	@tools/get-load-tools "$(VENV)"
	@$(PY) -m bench
	@$(PY) -m bench.certificate_figures

bench-limits: $(STAMP)  ## rate limits beside others', then Redis killed and frozen under load; six minutes
	@$(PY) -m bench.limit_table $(ARGS)
	@SEPTEM_FLEET_SECONDS=15 $(PY) -m pytest -q tests/integration/test_limits_fleet.py

bench-envoy: $(STAMP)  ## what Envoy's own settings cost; two minutes; writes envoy/README.md
	@$(PY) -m bench.envoy_settings

scale: $(STAMP)  ## 500 simulated sidecars on one OpenBao; fifteen minutes; ARGS=--quick for a look
	@nice $(PY) -m bench.scale $(ARGS)

soak: $(STAMP)  ## mixed traffic while everything is killed, frozen, rotated; ARGS="--seed 7 --minutes 30"
	@nice $(PY) -m bench.soak $(ARGS)

bench-peers: $(STAMP)  ## others' ext_authz servers through the same Envoy; where there is Go
	@$(PY) -m bench.peer_figures $(ARGS)

mutate: $(STAMP)  ## change one line at a time in what decides; ARGS=sidecar/tokens/claims.py for a part
	@$(PY) -m tests.mutation $(ARGS)

decision-cache:  ## the module that Envoy loads, in envoy/decision_cache/build
	@$(MAKE) --no-print-directory -C envoy/decision_cache

decision-cache-aarch64:  ## the same for aarch64, by Debian's gcc-aarch64-linux-gnu
	@tools/get-c-tools
	@$(MAKE) --no-print-directory -C envoy/decision_cache CC=aarch64-linux-gnu-gcc

decision-cache-wheels: $(STAMP) decision-cache decision-cache-aarch64  ## a wheel for each, in dist
	@$(PY) tools/decision_cache_wheels.py dist

SECONDS ?= 60
MODULE_SECONDS ?= 600
fuzz: $(STAMP)  ## fuzz the parsers; SECONDS=600 for longer each; then the module for ten minutes
	@for target in token signed path check credential host reports certificate config; do \
	  mkdir -p build/fuzz/$$target; \
	  $(PY) -m tests.fuzz.targets $$target build/fuzz/$$target tests/fuzz/corpus/$$target \
	    -max_total_time=$(SECONDS) -timeout=5 -max_len=16384 -artifact_prefix=build/fuzz/ || exit 1; \
	done
	@tools/get-c-tools
	@tools/fuzz-decision-cache $(MODULE_SECONDS)
