# SPDX-License-Identifier: GPL-2.0-only
# Everything is set up by the first target that needs it; nothing is fetched again while pyproject.toml and
# constraints.txt stay as they are.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TIME ?= 60
OUT ?= findings/campaign
KERNELS := build/guests
LIST_KERNELS := build/list-kernels
OUTCOMES := $(LIST_KERNELS)/outcomes
TREES := build/trees-src
LISTS ?= 2000
SEED ?= 1
CASES := corpus docs/examples

.PHONY: install campaign test test-guest test-tree kernel list-kernels lint format replay reports bench mutants
.PHONY: compiled detection clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,fuzz,tree,compiled]'
	touch $@

test: install
	$(BIN)/python -m pytest -n auto

# Boots Debian's kernels 6.1 and 6.12 in VMs, many times: a quarter of an hour. OPS says how long calibrate is to run.
test-guest: install
	tests/guest/prepare $(KERNELS)
	SAMESLOTS_KERNELS=$(KERNELS) SAMESLOTS_LIST_KERNELS=$(LIST_KERNELS) $(BIN)/python -m pytest tests/guest -p no:xdist

# Compiles the memslot code of Debian's kernel sources 6.1 and 6.12, with and without mistakes in it: some minutes.
test-tree: install
	tests/engines/tree/prepare $(TREES)
	SAMESLOTS_TREES=$(TREES) $(BIN)/python -m pytest tests/engines/tree tests/examples -n auto --dist loadfile

# Linux 6.1 with each of the patches in examples/ (docs/list-patches.md), built in a quarter of an hour and booted:
# LISTS lists through the real ioctl, beside the same tree's code in user space, which must do the same, and beside the
# engine ideal. From that naive must differ, with every list that it tears; atomic must not, nor may a vCPU notice.
kernel: install
	tests/guest/prepare
	tests/guest/kernel/prepare
	tests/guest/kernel/build.sh $(LIST_KERNELS)/naive naive
	$(BIN)/sameslots tree build $(LIST_KERNELS)/linux-6.1-patched --out $(LIST_KERNELS)/tree-naive
	tests/guest/kernel/build.sh $(LIST_KERNELS)/atomic atomic
	$(BIN)/sameslots tree build $(LIST_KERNELS)/linux-6.1-patched --out $(LIST_KERNELS)/tree-atomic
	SAMESLOTS_TREES=$(LIST_KERNELS) $(BIN)/python -m pytest tests/examples -p no:xdist
	mkdir -p $(OUTCOMES)
	rm -f $(OUTCOMES)/*.jsonl
	for variant in naive atomic; do \
		$(BIN)/sameslots guest --write $(OUTCOMES) --shell $(LIST_KERNELS)/$$variant -- 'cd $(CURDIR) && \
			$(BIN)/python -m tests.guest.list_campaign $(LISTS) $(SEED) $(OUTCOMES)/'$$variant.jsonl && \
		$(BIN)/python -m tests.guest.list_agreement $(OUTCOMES)/$$variant.jsonl $(LISTS) \
			$(LIST_KERNELS)/tree-$$variant $$variant || exit; \
	done
	$(BIN)/sameslots guest --shell $(LIST_KERNELS)/atomic -- 'cd $(CURDIR) && $(BIN)/python -m tests.guest.dirty_pages'
	$(BIN)/sameslots guest $(LIST_KERNELS)/atomic -- witness docs/examples/split.slots --apply list --time 20

# The naive one that can be led astray (docs/kvm-list.md), plain and with KASAN and lockdep: half an hour. make
# test-guest tries kvm-list on what is there of them.
list-kernels:
	tests/guest/kernel/prepare
	tests/guest/kernel/build.sh $(LIST_KERNELS)/plain astray
	tests/guest/kernel/build.sh $(LIST_KERNELS)/kasan astray $(CURDIR)/tests/guest/kernel/kasan.config

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

replay: install
	$(BIN)/sameslots replay $(CASES)

# The reports that docs/ shows, after a change of what a report says.
reports: install
	$(BIN)/sameslots report docs/reports --out docs/reports
	$(BIN)/sameslots report docs/reports --out docs/reports --format markdown

# One minute; exits 0 when it ran, whatever it found.
campaign: install
	$(BIN)/sameslots fuzz --time $(TIME) --out $(OUT) --record corpus || test $$? -eq 1
	@echo "minimal lists, a file each, and the table's database: $(OUT)/"

# Campaigns and enumerations at twice the speed, till the next edit: what a trial runs through is compiled to C.
compiled: install
	$(BIN)/python -m fuzz.compiled

bench: install
	$(BIN)/python -m bench.agreement
	$(BIN)/python -m bench.trials
	$(BIN)/python -m bench.workers
	$(BIN)/python -m bench.values
	$(BIN)/python -m bench.jsonl
	$(BIN)/python -m bench.visibility
	$(BIN)/python -m bench.oracles
	$(BIN)/python -m bench.growth
	$(BIN)/python -m bench.backends
	$(BIN)/python -m bench.enumeration
	$(BIN)/python -m bench.kernel

# Every mistake that a rule plants in the model, and how soon calibrate finds it. Needs /dev/kvm; takes some minutes.
mutants: install
	$(BIN)/python -m bench.mutants

# Every mistake that a rule plants in the engines, and how soon the oracles notice it. Takes the better part of an hour,
# and goes on where it was interrupted.
detection: install
	$(BIN)/python -m bench.detection

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis findings test-results
