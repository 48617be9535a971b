"""What would be submitted: lines about it, and the document itself."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

_WIDTH = 116


def tell_plan(plan: Mapping[str, Any]) -> Iterator[str]:
    """Yield what goes up, and where it runs, line by line."""
    for port, facts in plan["inputs"].items():
        yield f"input {port}: {facts.get('address') or _sum_up(facts)}"
    code = plan["code"]
    yield f"code: {_sum_up(code)}, sha256 {code['sha256'][:16]}, listed below"
    yield f"environment: {plan['environment']}, made when missing"
    compute = plan["compute"]
    made = f", made when missing: {compute['size']}, up to {compute['max_nodes']} nodes"
    yield f"compute: {compute['name']}{'' if compute['name'] == 'serverless' else made}"
    for name, address in plan["outputs"].items():
        yield f"output {name}: {address}"
    yield from textwrap.wrap(" ".join(code["files"]), _WIDTH, initial_indent="code: ", subsequent_indent="  ")


def draw_document(document: Mapping[str, Any]) -> str:
    """Return the job as YAML, in the order it was written."""
    import yaml

    # By way of JSON, so that what several steps share is written out for each of them.
    plain = json.loads(json.dumps(document))
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=10_000)).rstrip()


def _sum_up(facts: Mapping[str, Any]) -> str:
    files = facts["files"]
    shown = f" ({', '.join(files)})" if len(files) <= 6 else ""
    return f"{len(files)} files, {facts['bytes'] / 1e6:,.1f} MB{shown}"
