# SPDX-License-Identifier: Apache-2.0
# The few commands people type; meson does the work.
#   make demo     install what is missing, build, serve, make a picture set, train on it
#   make test     install what is missing, build, run every test
#   make check    the tests under AddressSanitizer and UndefinedBehaviorSanitizer
#   make bench    training speed beside PyTorch's
#   make tidy     clang-tidy over the sources
#   make fmt      format the C sources
BUILD ?= build
VENV = .venv
SOURCES = $(shell git ls-files '*.c' '*.h')

.PHONY: all setup build venv demo test check bench tidy fmt clean

all: build

setup:
	@tools/setup

build: setup
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD)
	@ninja -C $(BUILD)

venv: $(VENV)/ready

$(VENV)/ready: tests/python/requirements.txt
	@python3 -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

demo: build
	@tools/demo $(BUILD)/dv

test: build venv
	@meson test -C $(BUILD) --print-errorlogs

# The sanitizers' own code makes gcc warn of what is not there, hence no werror.
check: setup venv
	@test -f $(BUILD)-asan/build.ninja || meson setup $(BUILD)-asan -Dwerror=false \
	    -Db_sanitize=address,undefined -Db_lundef=false
	@meson test -C $(BUILD)-asan --print-errorlogs --timeout-multiplier 6

bench: build venv
	@$(VENV)/bin/python bench/compare.py $(BUILD)

tidy: build
	@clang-tidy --quiet -p $(BUILD) $(shell git ls-files 'src/*.c')

fmt:
	@clang-format -i $(SOURCES)

clean:
	@rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-clang
