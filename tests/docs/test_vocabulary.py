from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.vocabulary import DOCUMENTS, PACKAGE, ROOT, find_banned, list_banned


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_vocabulary_of_a_document_has_no_banned_words(path: Path) -> None:
    assert not list_banned([path])


@pytest.mark.slow
def test_vocabulary_of_the_package_has_no_banned_words() -> None:
    assert not list_banned(PACKAGE)


@pytest.mark.parametrize(
    "text", ["there is no telemetry", "no longer", "`refused`", "told apart", "per machine", "trueing"]
)
def test_vocabulary_plain_words_pass(text: str) -> None:
    assert not list(find_banned(text))


@pytest.mark.parametrize(
    "text", ["'x' is no number", "one row a machine", "it is\nsaid", "the way out", "failures are foretold"]
)
def test_vocabulary_banned_words_are_found(text: str) -> None:
    assert list(find_banned(text))
