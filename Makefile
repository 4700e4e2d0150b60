# Two commands set up everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
# numpy for Python 3.10 has other type stubs than the ones the code is written against
TYPES = @if $(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then $(PY) -m mypy; \
	else echo "mypy: skipped on Python 3.10, whose numpy has older type stubs"; fi
DEBIAN_PACKAGES := mosquitto mosquitto-clients systemd-container shellcheck chromium \
	gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good
DEBIAN_TOOLS := mosquitto mosquitto_sub systemd-nspawn shellcheck chromium
GSTREAMER := import gi; gi.require_version('GstRtspServer', '1.0')

.PHONY: help demo test check lint format system clean test-tensorrt test-node-red

help:  ## Show what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
		|| { echo "edge_sorter needs Python 3.10 or newer; name one with: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "cannot make a virtual environment; on Debian/Ubuntu: apt-get install python3-venv"; exit 1; }

$(VENV)/.runtime: requirements.txt pyproject.toml | $(VENV)/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check --no-compile -e .
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.runtime
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(VENV)/.runtime  ## Sort the parcels of the demo clip, decisions over MQTT (CPU only, nothing else needed)
	$(PY) -m edge_sorter demo

test: $(VENV)/.dev system  ## Everything: lint, types, unit tests, real broker, real clips where present
	$(PY) -m ruff check .
	$(TYPES)
	$(PY) -m pytest

check: $(VENV)/.dev  ## The quick loop: lint, types, unit tests
	$(PY) -m ruff check .
	$(TYPES)
	$(PY) -m pytest -q -m "not slow and not broker"

lint: $(VENV)/.dev  ## Lint only
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: $(VENV)/.dev  ## Format and fix imports
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

system:  # Debian packages that tests use; without them those tests skip and say so
	@(for tool in $(DEBIAN_TOOLS); do command -v $$tool >/dev/null || exit 1; done; \
		/usr/bin/python3 -c "$(GSTREAMER)" 2>/dev/null) || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(DEBIAN_PACKAGES) >/dev/null; \
		else \
			echo "Tests that need them will be skipped. To run them: apt-get install $(DEBIAN_PACKAGES)"; \
		fi; } || echo "could not install $(DEBIAN_PACKAGES); tests that need them will be skipped"

# Both ends of the supported range, neither needs a GPU to be imported. 8.6 is the newest of 8.x that comes as a wheel; of
# 11 the lean runtime is small, but only loads networks: what builds them is checked against 8.6.
TRT_8 := tensorrt==8.6.0 nvidia-cublas-cu12 nvidia-cuda-runtime-cu12 nvidia-cudnn-cu12==8.9.7.29
TRT_11 := tensorrt-lean-cu13==11.4.0.106 tensorrt-lean-cu13-bindings==11.4.0.106 tensorrt-lean-cu13-libs==11.4.0.106
TRT_TESTS := tests/detect/test_detect_tensorrt.py
PYTHON310 ?= python3.10
PYTHON311 ?= python3.11

test-tensorrt:  ## Names of the TensorRT API against 8.6.0 (Python 3.10) and 11.4 lean (Python 3.11); downloads 2 GB
	$(call trt-check,tensorrt,$(PYTHON310),numpy<2 $(TRT_8))
	$(call trt-check,tensorrt_lean,$(PYTHON311),numpy $(TRT_11))

# 8.6.0 pins no cuDNN but looks for version 8; libraries of wheels lie in folders that the loader must be told
define trt-check
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	$(2) -m venv "$$folder"; \
	"$$folder/bin/pip" install --quiet --disable-pip-version-check --no-compile --no-deps $(foreach p,$(3),'$(p)'); \
	"$$folder/bin/pip" install --quiet --disable-pip-version-check --no-compile \
		onnx pytest pytest-timeout pydantic opencv-python-headless PyYAML; \
	export LD_LIBRARY_PATH=$$(echo "$$folder"/lib/python3*/site-packages/nvidia/*/lib | tr ' ' ':') PYTHONPATH=.; \
	"$$folder/bin/python" -c 'import $(1); print("$(1)", $(1).__version__)'; \
	"$$folder/bin/python" -m pytest -q -p no:cacheprovider $(TRT_TESTS)
endef

NODE_RED ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/edge-sorter-node-red

test-node-red: $(VENV)/.dev  ## The Node-RED gateway in a real Node-RED (Node 18.5 or newer; downloads 130 MB once)
	@command -v npm >/dev/null || { echo "npm is missing; on Debian/Ubuntu: apt-get install nodejs npm"; exit 1; }
	mkdir -p $(NODE_RED)
	cp deploy/node-red/package.json $(NODE_RED)/
	npm install --prefix $(NODE_RED) --no-audit --no-fund --omit=optional
	EDGE_SORTER_NODE_RED=$(NODE_RED) $(PY) -m pytest -q tests/gateway/test_node_red.py

clean:  ## Remove the virtual environment and outputs
	rm -rf $(VENV) out build *.egg-info .pytest_cache .mypy_cache .ruff_cache
