"""Render the job that ``pdm submit --dry-run`` would submit: a summary, and the document itself."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pdm_cli.text import show_count

_WIDTH = 116
# With more files than this, only their number is shown.
_MAX_FILES = 6


def describe_plan(plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines about the uploads, the compute and the outputs."""
    for port, facts in plan["inputs"].items():
        yield f"input {port}: {facts.get('address') or _count_files(facts)}"
    code = plan["code"]
    yield f"code: {_count_files(code)}, sha256 {code['sha256'][:16]}, listed below"
    yield f"environment: {plan['environment']}, created if missing"
    compute = plan["compute"]
    cluster = f", created if missing: {compute['size']}, up to {compute['max_nodes']} nodes"
    yield f"compute: {compute['name']}{'' if compute['name'] == 'serverless' else cluster}"
    for name, address in plan["outputs"].items():
        yield f"output {name}: {address}"
    yield from textwrap.wrap(" ".join(code["files"]), _WIDTH, initial_indent="code: ", subsequent_indent="  ")


def draw_document(document: Mapping[str, Any]) -> str:
    """Return the job as YAML in its own order."""
    import yaml

    # A round trip through JSON, so that YAML repeats what several steps share instead of using anchors.
    plain = json.loads(json.dumps(document))
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=10_000)).rstrip()


def _count_files(facts: Mapping[str, Any]) -> str:
    files = facts["files"]
    names = f" ({', '.join(files)})" if len(files) <= _MAX_FILES else ""
    return f"{show_count(len(files), 'file')}, {facts['bytes'] / 1e6:,.1f} MB{names}"
