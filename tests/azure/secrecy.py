"""Search for secrets of the emulator in everything that was written."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from tests.azure.emulator import Emulator

_PIECE_BYTES = 1 << 20
# Hundreds of tokens start with the same bytes: without these, there is none of them.
_PREFIX_BYTES = 12


def assert_kept(emulator: Emulator, folder: Path | None, texts: Iterable[str]) -> None:
    """Fail if a secret is in a file below ``folder``, in ``texts``, or in the logs and requests of jobs."""
    jobs = [text for job in list(emulator.jobs.values()) for text in (job.log, str(job.submitted))]
    secrets = [secret.encode() for secret in list(emulator.secrets)]
    shown = [text for text in (*texts, *jobs) if holds_secret(text.encode(), secrets)]
    assert not shown, f"secrets in {len(shown)} strings that were shown, logged or sent"
    leaks = [str(path) for path in find_leaks(folder, secrets)] if folder else []
    assert not leaks, f"secrets in {', '.join(leaks)}"


def find_leaks(folder: Path, secrets: Collection[bytes]) -> list[Path]:
    """Return the files below a folder that contain a secret; links are not followed."""
    paths = [Path(place) / name for place, _, names in os.walk(folder) for name in names]
    files = [path for path in paths if path.is_file() and not path.is_symlink()]
    return [path for path in files if any(holds_secret(piece, secrets) for piece in _pieces(path, secrets))]


def holds_secret(text: bytes, secrets: Iterable[bytes]) -> bool:
    """Return whether one of the secrets is in a text."""
    there: dict[bytes, bool] = {}
    for secret in secrets:
        prefix = secret[:_PREFIX_BYTES]
        if prefix not in there:
            there[prefix] = prefix in text
        if there[prefix] and secret in text:
            return True
    return False


def _pieces(path: Path, secrets: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a file in pieces that overlap, since a secret may cross their border."""
    overlap, before = max(map(len, secrets), default=1), b""
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE_BYTES):
            # Large files of the tests contain only zeros.
            if piece.count(0) != len(piece):
                yield before + piece
            before = piece[-overlap:]
