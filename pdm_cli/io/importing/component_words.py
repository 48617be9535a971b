"""SQL of the components that words in the text of a failure name."""

from __future__ import annotations

from collections.abc import Sequence

from pdm_cli.io.importing.sources import sql_text

# Component of a failure whose text has none of the words.
OTHER = "other"


def sql_component(text: str, words: Sequence[tuple[str, str]]) -> str:
    """Return the SQL of the component of the first word, in lower case, that a text has."""
    whens = " ".join(f"WHEN {_has(text, word)} THEN {sql_text(component)}" for word, component in words)
    return f"CASE {whens} ELSE '{OTHER}' END"


def sql_is_ambiguous(text: str, words: Sequence[tuple[str, str]]) -> str:
    """Return the SQL of whether a text has words of more than one component."""
    by_component: dict[str, list[str]] = {}
    for word, component in words:
        by_component.setdefault(component, []).append(_has(text, word))
    counts = [f"CAST({' OR '.join(conditions)} AS INTEGER)" for conditions in by_component.values()]
    return f"{' + '.join(counts)} > 1"


def _has(text: str, word: str) -> str:
    return f"contains(lower({text}), {sql_text(word)})"
