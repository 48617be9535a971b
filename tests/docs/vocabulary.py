"""Find words that our documents, help and messages avoid: ``python -m tests.docs.vocabulary [FILE ...]``."""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "commands.md"),
    *sorted((ROOT / "docs").glob("*.py")),
    *sorted((ROOT / "benchmarks").rglob("*.py")),
    *sorted((ROOT / "examples").iterdir()),
    *(ROOT / name for name in (".ci/run", ".github/workflows/ci.yml", "justfile", "pyproject.toml")),
]
# docs/commands.md has the help of every command.
PACKAGE = [ROOT / "docs/commands.md", ROOT / "sample_config.toml", *sorted((ROOT / "pdm_cli").rglob("*.py"))]

_THINGS = "change|column|command|component|core|failure|family|file|fold|instant|machine|member|row|sensor|trial"
# What not to write, and a hint at what to write instead.
BANNED = {
    r"\bforet(?:ell|ells|elling|old)\b": "predict",
    r"\bamiss\b": "problems",
    r"\bmend(?:s|ed|ing)?\b": "fix",
    r"\bsees? to\b": "inspect, handle",
    r"\bbe it\b": "whether",
    r"\b(?:is|are|was|were) (?:told|said)\b(?! apart)": "active voice: pdm reports",
    r"\b(?:tells|telling|told)\b(?! apart)|(?<!cannot\s)(?<!can\s)\btell\b(?! apart)": "report, print, show",
    r"\brefus(?:es|ed|ing)\b|\b(?-i:Refuse)\b|\brefuse (?:to|it)\b": "reject, fail",
    r"(?<!here\s)\b(?:is|are|was|were) no (?!longer|more)": "is not a",
    r"\bstands?\b(?! for)": "is, exists",
    r"\bstamps?\b": "timestamp, time",
    r"\bkinds?\b": "type",
    r"\btexts\b": "strings",
    r"\bhangs? together\b": "are correlated",
    r"\brings?\b|\bringing\b": "alert",
    r"\blearn(?:s|ed|ing|t)? from\b": "train on",
    r"\bway out\b": "fix",
    r"\b(?:is|are|was|were|be) made\b|\bmade (?:anew|when|where|if)\b|\banew\b": "create, rebuild",
    r"\bwanted\b": "expected",
    r"\bbeside\b": "next to, with, compared with",
    r"\bgo(?:es)? by\b": "is based on, uses",
    r"\bwhat (?:is to be|then|else|came|comes|became|becomes|stands|it goes)\b": "a noun",
    r"\b(?-i:What)\b(?![^.?!]*\?)": "a noun (only questions begin with What)",
    r"\b(?:against|by|from|of|than|to|with) what\b": "a noun",
    r"\bgo(?:es)? (?:on|off)\b": "turn on, turn off, continue",
    r"\b(?:is|are) (?:not )?there\b(?! (?:a|an|any)\b)|\bwhere there (?:is|are)\b": "exists, is missing, if any",
    r"\bnobody (?:can|knows|could)\b": "unknown",
    rf"\bone \w+ an? (?:{_THINGS})\b|\ba machine and month\b": "one ... per ...",
    r"\bjudg(?:e|es|ed|ing)\b": "test, count, compare",
    r"\bthat there (?:is|are)\b": "exists",
    r"\banswer key\b": "ground truth",
    r"\blives? of (?:parts|components)\b": "component lifetimes",
    r"\bworth a look\b|\blook at\b": "see, check",
    r"\b(?:there|here)(?:of|by|in|upon)\b": "of it, by it, in it",
}
# Code in Markdown, parameters in docstrings and fields of f-strings are names and not prose.
_NAMES = re.compile(r"``[^`\n]+``|`[^`\n]*`|\{[^{}]*\}|\(https?:[^)]*\)|^ *\w[\w, ]*(?= : )", re.MULTILINE)


def find_banned(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the words and the advice for each use of a banned word."""
    prose = _NAMES.sub(lambda name: "`" * len(name[0]), text)
    for pattern, advice in BANNED.items():
        for match in re.finditer(pattern.replace(" ", r"\s+"), prose, re.IGNORECASE):
            yield prose.count("\n", 0, match.start()), match[0], advice


def prose_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the prose of a file with its first line: all of a document; strings and comments of a module."""
    content = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield 1, content
        return
    tree = ast.parse(content)
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in node.values)
        # A single word is a name: a key, a column, a choice.
        elif isinstance(node, ast.Constant) and id(node) not in inner and " " in str(node.value):
            yield node.lineno, str(node.value)
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def list_banned(paths: Iterable[Path]) -> list[str]:
    """Return a line for each use of a banned word in the files."""
    return sorted(
        f"{path.relative_to(ROOT)}:{first + line}: {words!r}: {advice}"
        for path in paths
        for first, prose in prose_of(path)
        for line, words, advice in find_banned(prose)
    )


if __name__ == "__main__":
    chosen = [Path(name).resolve() for name in sys.argv[1:]]
    files = [file for path in chosen for file in ([path] if path.is_file() else sorted(path.rglob("*.py")))]
    found = list_banned(files or DOCUMENTS + PACKAGE)
    sys.exit("\n".join(found) or 0)
