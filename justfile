# Developer commands: `just` lists them. They need the development environment of CONTRIBUTING.md.

set positional-arguments

python := ".venv/bin/python"

_default:
    @just --list

# Create .venv with everything that the other recipes need
setup:
    python3 -m venv .venv
    .venv/bin/pip install --quiet --editable '.[dev]'

# Run the fast tests: the ones to run while you work
fast *ARGS:
    {{ python }} -m pytest --quiet -m "not slow and not azure and not browser" "$@"

# Run all tests
test *ARGS:
    {{ python }} -m pytest --quiet "$@"

# Check style and import contracts
lint:
    .venv/bin/ruff check .
    .venv/bin/ruff format --check .
    .venv/bin/lint-imports

# Check types
types:
    .venv/bin/mypy

# Regenerate docs/commands.md and sample_config.toml, and check the wording of the documents
docs:
    {{ python }} docs/write_commands.py
    {{ python }} docs/write_sample_config.py
    {{ python }} -m tests.docs.vocabulary

# Compare our kernels with plain references, and measure stages and start-up
bench:
    {{ python }} -m benchmarks.startup
    {{ python }} -m benchmarks.rolling
    {{ python }} -m benchmarks.detection
    {{ python }} -m benchmarks.training
    {{ python }} -m benchmarks.stages
    {{ python }} -m benchmarks.importing
    {{ python }} -m benchmarks.intervals

# Compare pdm with other tools on many fleets; --help shows how to choose sets and tools
fleets *ARGS:
    .venv/bin/pip install --quiet --editable '.[bench]'
    {{ python }} -m benchmarks.fleets "$@"

# Choose the portfolio of the search again, after a change of features or algorithms
portfolio:
    {{ python }} -m benchmarks.portfolio

# Run everything that CI runs, in a fresh environment
ci:
    .ci/run
