# Everything a newcomer needs: `make help` lists it.
PYTHON ?= python3
PROFILE ?=
TOGETHER := --numprocesses 2 --dist loadfile --no-loadscope-reorder
RESULTS := data/raw/phantoms data/prepared runs evaluate identify robustness attacked audited reports dvc_plots mlflow.db mlartifacts
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)
export NO_ALBUMENTATIONS_UPDATE := 1
# Python compiles what it imports, once, if it may keep the result; to compile all that is installed takes far longer.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: env dev repro verify check-report test test-all lint mutate fuzz bench audit-recall codes dag docs study readme clean help
.DEFAULT_GOAL := help

PIP_INSTALL := python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt

env: .venv/installed  ## create .venv and install the pinned environment
dev: .venv/dev  ## the same with all that tests, lint and benchmarks need

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "camdivide needs Python 3.11 or newer")'
	@echo "installing the pinned environment into .venv (about a minute) ..."
	@$(PYTHON) -m venv .venv
	@$(PIP_INSTALL) --editable .
	@touch $@

.venv/dev: .venv/installed
	@echo "installing what tests need into .venv ..."
	@$(PIP_INSTALL) --editable '.[dev]'
	@touch $@

.venv/docs: .venv/installed
	@echo "installing what the documentation needs into .venv ..."
	@$(PIP_INSTALL) --editable '.[docs]'
	@touch $@

repro: env  ## run the whole pipeline; PROFILE=<name> runs profiles/<name>.yaml in workspaces/<name>
	@python -m pipeline.repro $(PROFILE)

verify: env  ## compare the results of the last `make repro` with those that the project was committed with
	@python -m pipeline.verify

check-report: env  ## compute every number of the last report again from scores, without the project's code; PROFILE as above
	@python -m benchmarks.recompute $(if $(PROFILE),workspaces/$(PROFILE))

test: dev  ## unit, contract, property, architecture and end-to-end tests
	@pytest $(TOGETHER)

test-all: dev  ## the same and the tests that take minutes
	@pytest $(TOGETHER) -m "slow or not slow"

lint: dev  ## ruff, mypy, and whether dvc.lock describes the present code and settings
	@ruff check .
	@ruff format --check .
	@mypy
	@python -m pipeline.verify --lock

mutate: dev  ## change the code in one place at a time and count what no test notices (long)
	@python tests/mutate.py

fuzz: dev  ## generated valid DICOM files against the standard by hand, and 10,000 damaged files of all formats
	@python -m benchmarks.fuzz

bench: dev  ## measure speed and memory as ratios, into benchmarks/
	@python -m benchmarks.run

audit-recall: dev  ## plant copies and shortcuts in real films and count what the audit finds, into benchmarks/
	@python -m benchmarks.audit_recall

codes: env  ## write docs/codes.md from the code
	@python -m pipeline.data.codes > docs/codes.md

dag: env  ## draw the stages; PROFILE as above
	@cd $(if $(PROFILE),workspaces/$(PROFILE),.) && python -m pipeline.common.stages

docs: .venv/docs  ## build the documentation into site/; open site/index.html
	@NO_MKDOCS_2_WARNING=1 mkdocs build --strict

study:  ## fill the tables of docs/study.md from the last run of PROFILE=study
	@python -m benchmarks.study_tables

readme:  ## copy tables, pictures and reference of the last run, and of PROFILE=robustness, into README.md and docs/
	@python -m pipeline.verify --write
	@sed -i -e '/<!-- results -->/,/<!-- end of results -->/{//!d}' -e '/<!-- results -->/r reports/tables/readme.md' README.md
	@mkdir -p docs && cp reports/figures/gallery_face.png docs/gallery.png
	@python -m pipeline.attack --model runs/iris/compact/cross_entropy/0 --attack hoax_both > /dev/null
	@cp attacked/iris/compact/cross_entropy/0/hoax_both/picture.png docs/robustness.png
	@cd workspaces/robustness/reports/tables && cp hoax.md manipulability.md robust_decisions.md guidance_and_robustness.md evidence.md $(CURDIR)/docs/robustness/

clean:  ## remove everything that the pipeline made (.venv, DVC's cache, and settings and locks of studies stay)
	@rm -rf $(foreach place,. workspaces/*,$(addprefix $(place)/,$(RESULTS))) site

help:  ## list these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
