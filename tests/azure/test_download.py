from __future__ import annotations

import hashlib
import string
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pdm_cli.azure.download import Blob, Wanted, find_copy, list_wanted, name_files, store, tell_names
from pdm_cli.errors import DataError, TryAgain

HOSTILE = [
    *("../up", "a/../../up", "..", "a/..", "./a", "a/./b", "/absolute", "//share/x", "a//b", "a/", ""),
    *("C:/windows", "c:evil", "a/D:", "back\\slash", "..\\up", "\\\\share\\x", "nul\x00byte", "line\nfeed"),
    *("con", "CON.txt", "a/aux.csv", "NUL", "com1", "LPT9.log", "trailing.", "trailing ", "star*", "pipe|", "what?"),
    *("c1\x9b2J", "esc\x1bc", "tab\tx", "\u202egnp.exe", "hidden\u200b"),
]
HARMLESS = ["a", "a.b/c-d_e.parquet", ".hidden", "..double", "console.txt", "com10", "comma,space in it", "größe.csv"]


def blob(name: str, size: int = 3) -> Blob:
    return Blob(name, size, '"0x1"')


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def manifest_of(**sizes: int) -> dict[str, Any]:
    return {"outputs": {name: {"sha256": sha(b"x"), "bytes": size} for name, size in sizes.items()}}


def one(name: str) -> Wanted:
    return Wanted(name, blob(f"p/{name}"), sha(b"one"), "output model of job-1", "a, parts/b")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_leads_out_of_the_folder_is_refused(name: str) -> None:
    with pytest.raises(DataError) as caught:
        name_files([blob("pdm/job/out/a"), blob(f"pdm/job/out/{name}")], "pdm/job/out/")
    # Named as Python shows it, so that a line feed in it cannot end the line.
    assert repr(f"pdm/job/out/{name}") in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("name", HOSTILE)
def test_a_manifest_that_leads_out_of_the_folder_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="not a name"):
        list_wanted({name: blob(name)}, manifest_of(**{name: 3}), "out")


@pytest.mark.parametrize("name", HARMLESS)
def test_a_plain_name_is_taken_as_it_is(name: str) -> None:
    assert name_files([blob(f"p/{name}")], "p/") == {name: blob(f"p/{name}")}


@given(st.text(string.ascii_letters + "./\\: 0\x00~-", max_size=12))
@example("a/b")
def test_whatever_is_taken_stays_in_the_folder_on_every_system(name: str) -> None:
    try:
        (taken,) = name_files([blob(f"p/{name}")], "p/")
    except DataError:
        return
    for folder in (PurePosixPath("/out"), PureWindowsPath("X:/out")):
        assert (folder / taken).is_relative_to(folder)
        assert (folder / taken).parts[len(folder.parts) :] == tuple(name.split("/"))
        assert ".." not in name.split("/")


def test_what_killed_jobs_left_is_not_part_of_the_result() -> None:
    blobs = [blob("p/.pdm-partial-12-abc/half"), blob("p/b"), blob("p/a/c")]
    assert list(name_files(blobs, "p/")) == ["a/c", "b"]


def test_wanted_is_what_the_manifest_lists() -> None:
    files = {name: blob(f"p/{name}") for name in ("a", "b/c", "stray", "manifest.json")}
    wanted = list_wanted(files, manifest_of(**{"a": 3, "b/c": 3}), "out")
    there = ("out", "a, b/c, manifest.json, stray")
    assert wanted == [Wanted(name, blob(f"p/{name}"), sha(b"x"), *there) for name in ("a", "b/c")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (manifest_of(a=3, gone=1), "out: gone is missing; there are: a, b"),
        (manifest_of(a=4), "out: a has 3 bytes, its manifest says 4; there are: a, b"),
        (manifest_of(**{"manifest.json": 3}), "missing"),
        ({"outputs": {"a": {"bytes": 3}}}, "no sha256 and bytes of a"),
        ({"outputs": {"a": "3 bytes"}}, "no sha256 and bytes of a"),
        (manifest_of(**{"b": 3, "b/c": 3}), "b is a file and a folder"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(content: dict[str, Any], message: str) -> None:
    files = {name: blob(f"p/{name}") for name in ("a", "b")}
    files |= {"b/c": blob("p/b/c")} if "b/c" in content["outputs"] else {}
    files |= {"manifest.json": blob("p/manifest.json")} if "manifest.json" in content["outputs"] else {}
    with pytest.raises(DataError, match=message) as caught:
        list_wanted(files, content, "out")
    assert caught.value.exit_code == 4


def test_a_file_that_is_here_need_not_be_fetched(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("missing", "shorter", "other", "right")]
    for place, content in zip(places[1:], (b"on", b"two", b"one"), strict=True):
        (place / "parts").mkdir(parents=True)
        (place / "parts/a").write_bytes(content)
    wanted = one("parts/a")
    assert find_copy(wanted, places) == tmp_path / "right/parts/a"
    assert find_copy(wanted, places[:3]) is None


def test_pieces_become_the_file(tmp_path: Path) -> None:
    told: list[int] = []
    store(iter([b"on", b"e"]), tmp_path / "new/file", told.append, one("parts/b"))
    assert (tmp_path / "new/file").read_bytes() == b"one"
    assert told == [2, 1]


def test_a_file_of_other_bytes_is_named_with_both_hashes_and_is_gone(tmp_path: Path) -> None:
    told: list[int] = []
    with pytest.raises(DataError) as caught:
        store(iter([b"two"]), tmp_path / "file", told.append, one("parts/b"))
    assert caught.value.message.startswith("output model of job-1: parts/b: not the file that was made: ")
    assert all(text in caught.value.message for text in (sha(b"one")[:12], sha(b"two")[:12], "there are: a, parts/b"))
    assert not (tmp_path / "file").exists()
    assert sum(told) == 0


def test_a_file_that_breaks_off_is_gone_and_counts_for_nothing(tmp_path: Path) -> None:
    def break_off() -> Iterator[bytes]:
        yield b"on"
        raise TryAgain("dropped")

    told: list[int] = []
    with pytest.raises(TryAgain):
        store(break_off(), tmp_path / "file", told.append, one("parts/b"))
    assert not (tmp_path / "file").exists()
    assert sum(told) == 0


def test_many_names_are_told_in_short() -> None:
    assert tell_names([]) == "none"
    assert tell_names(["b", "a"]) == "a, b"
    assert tell_names("gfedcba") == "a, b, c, d, e and 2 more"
