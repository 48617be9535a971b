"""The search for secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.azure.secrecy import find_leaks, holds_secret

HEAD = b"eyJhbGciOiAibm9uZSJ9."
SECRETS = [HEAD + b"first-token", HEAD + b"second-token", b"key-of-the-account=="]


@pytest.mark.parametrize("name", ["run.log", "job.yml", "no suffix", ".hidden/deep/config.toml", "table.parquet"])
@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("lead", [0, (1 << 20) - 15], ids=["at the start", "across two pieces"])
def test_find_leaks_any_file_is_searched(name: str, secret: bytes, lead: int, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(lead) + b"sig=" + secret + b"&more")
    (tmp_path / "harmless.txt").write_bytes(HEAD + b"third-token key-of-the-account")
    assert find_leaks(tmp_path, SECRETS) == [path]


def test_holds_secret_whole_secret_is_found() -> None:
    assert holds_secret(b"error: " + SECRETS[1], SECRETS)
    assert not holds_secret(b"error: " + HEAD, SECRETS)
