# Everything from a fresh clone with Python 3.11 or later, a C++20 compiler and make; the rest comes from PyPI.
#
#   make demo     embed sentences of changing lengths through torch.compile(backend="dvm")
#   make test     the fast tests, the C++ core's own included     (make test-all adds the slow ones, make sanitize
#                 runs the core's under address and undefined-behaviour sanitizers)
#   make check    formatters, linters and types; changes nothing  (make format applies the formatters)
#   make bench    every benchmark into build/bench                (make bench-quick: a few minutes)
#   make docs     write the generated pages again
#   make setup    only the environment and the build, in .venv; repeats do nothing
#
# TORCH names the torch to install. Where the package index would send a CUDA build, name an index of CPU builds:
#   make setup TORCH="torch==2.13.0 --extra-index-url URL"

PYTHON ?= python3
TORCH ?= torch==2.13.0
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Workers share the processors: threads that wait must sleep and not spin.
PYTEST := OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -q -n $(WORKERS)
# What a rebuild of the core depends on. Python files are read where they are.
CORE := CMakeLists.txt Makefile pyproject.toml $(shell find src isa tests/core fuzz -type f 2>/dev/null)
CXX_FILES = $(shell git ls-files --cached --others --exclude-standard -- 'src/*.h' 'src/*.cpp' 'tests/*.h' 'tests/*.cpp' 'fuzz/*.cpp' 'fuzz/*.h')

.PHONY: setup demo test test-all core-test sanitize check format tidy bench bench-quick docs clean
.DELETE_ON_ERROR:

setup: $(VENV)/.installed

$(VENV)/.torch:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "[setup] needs Python 3.11 or later: make PYTHON=..."'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet $(TORCH)
	touch $@

# The build tools live in the environment, so that a rebuild is incremental and needs no network.
$(VENV)/.tools: $(VENV)/.torch pyproject.toml
	$(PIP) install --quiet "scikit-build-core>=1.1" "nanobind>=3.1,<4" "cmake>=3.26" ninja
	touch $@

$(VENV)/.installed: $(VENV)/.tools $(CORE)
	$(PIP) install --quiet --no-build-isolation --config-settings=cmake.define.DVM_TESTS=ON --editable ".[dev]"
	touch $@

demo: setup
	$(BIN)/dvm demo

test: setup core-test
	$(PYTEST) -m "not slow"

test-all: setup core-test sanitize
	$(PYTEST)

core-test: setup
	$(BIN)/ctest --test-dir build/editable-* --output-on-failure --no-tests=error

# The core's own tests once more, with every access and every undefined operation checked.
sanitize: $(VENV)/.tools
	mkdir -p build
	$(BIN)/cmake -S . -B build/sanitize -G Ninja -DDVM_SANITIZE=ON -DDVM_TESTS=ON -DDVM_MODULE=OFF \
	  -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) > build/sanitize.log
	$(BIN)/ninja -C build/sanitize --quiet
	$(BIN)/ctest --test-dir build/sanitize --output-on-failure --no-tests=error

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(CXX_FILES)
	$(MAKE) --no-print-directory tidy

format: setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(CXX_FILES)

# One clang-tidy per source file, $(WORKERS) at a time; headers are judged where they are included. The shuffle with a
# variable mask is g++'s own; clang-tidy need not know what it does.
tidy: setup
	mkdir -p build
	$(BIN)/cmake -S . -B build/tidy -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_EXPORT_COMPILE_COMMANDS=ON \
	  -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN)/ninja) -DPython_EXECUTABLE=$(abspath $(BIN)/python) > build/tidy.log
	git ls-files --cached --others --exclude-standard -- 'src/*.cpp' \
	  | xargs -P $(WORKERS) -n 1 $(BIN)/clang-tidy -p build/tidy --quiet '--extra-arg=-D__builtin_shuffle(a,...)=(a)'

bench: setup
	mkdir -p build/bench
	$(BIN)/dvm bench compile --json build/bench/compile.json
	$(BIN)/dvm bench fusion --json build/bench/fusion.json
	$(BIN)/dvm bench gemm --json build/bench/gemm.json
	$(BIN)/dvm bench memory --json build/bench/memory.json
	$(BIN)/dvm bench models --json build/bench/models.json
	$(BIN)/dvm bench operators --json build/bench/operators.json --plot build/bench/operators.png

bench-quick: setup
	mkdir -p build/bench
	$(BIN)/dvm bench compile --quick --json build/bench/compile-quick.json
	$(BIN)/dvm bench gemm --quick --json build/bench/gemm-quick.json
	$(BIN)/dvm bench models --quick --json build/bench/models-quick.json
	$(BIN)/dvm bench operators --quick --json build/bench/operators-quick.json

docs: setup
	$(BIN)/python tools/isa_doc.py
	$(BIN)/python tools/architecture.py

clean:
	rm -rf build
