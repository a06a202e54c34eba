# Sonde's front door. Two commands need nothing but git, make and a Debian 12 (or a relative):
#
#     make demo     trains a network on embedded data, shows the decisions, writes demo/report.html
#     make check    builds with warnings as errors and runs every test
#
# Everything else is CMake; this file only calls it (`make help` lists the targets).

BUILD ?= build
PREFIX ?= /usr/local
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup build demo check bench evidence format install clean

help:
	@echo "make demo               set up, build, train on embedded data, write demo/report.html"
	@echo "make check              set up, build with warnings as errors, run every test"
	@echo "make build              set up and build: $(BUILD)/sonde, the libraries and the tests"
	@echo "make bench              time this tree against its peers (PyTorch where it is installed)"
	@echo "make evidence           recompute the tables of docs/results.md (hours; needs SONDE_DATA)"
	@echo "make format             clang-format over every tracked .c and .h"
	@echo "make install PREFIX=DIR install header, libraries, command and documents"
	@echo "make setup              install the Debian packages that are missing"
	@echo "make clean              remove $(BUILD) and what the demo wrote"
	@echo
	@echo "Variables: BUILD (build folder), JOBS (tests at a time), PREFIX, DESTDIR, and SONDE_DATA"
	@echo "(folder of real data sets; tests that need it are skipped without it)."
	@echo "SONDE_SETUP=no leaves the installed packages as they are."

setup:
	@scripts/setup

build: setup
	@scripts/build $(BUILD)

demo: setup
	@scripts/build $(BUILD)
	$(BUILD)/sonde demo
	@test -s demo/report.html || { echo "demo/report.html was not written" >&2; exit 1; }
	@echo
	@echo "The report: demo/report.html (open it in any browser; it needs no network)"

check: setup
	@scripts/build $(BUILD) -DSONDE_WERROR=ON -DSONDE_TESTS=ON
	@scripts/run-tests $(BUILD) $(JOBS)

bench: setup
	@scripts/build $(BUILD) --target bench
	@scripts/bench $(BUILD)

evidence: setup
	@scripts/build $(BUILD)
	@test -x scripts/evidence || { echo "scripts/evidence is not there yet" >&2; exit 1; }
	scripts/evidence $(BUILD)

format:
	@scripts/format

install: setup
	@scripts/build $(BUILD)
	@scripts/build $(BUILD) --install $(PREFIX)

clean:
	rm -rf $(BUILD) demo/report.html demo/run
