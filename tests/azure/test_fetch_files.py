from __future__ import annotations

import hashlib
import string
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from threading import Event
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pdm_cli.azure.blobs import Blob
from pdm_cli.azure.client import retry
from pdm_cli.azure.fetch import (
    MegabyteMeter,
    OutputFile,
    find_copy,
    list_files,
    list_names,
    map_names,
    run_all,
    store,
    until,
)
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


def one(name: str) -> OutputFile:
    return OutputFile(name, blob(f"p/{name}"), sha(b"one"), "output model of job-1", "a, parts/b")


@pytest.mark.parametrize("name", HOSTILE)
def test_map_names_hostile_name_is_rejected(name: str) -> None:
    with pytest.raises(DataError) as caught:
        map_names([blob("pdm/job/out/a"), blob(f"pdm/job/out/{name}")], "pdm/job/out/")
    # Shown with repr, so that a line feed cannot end the message.
    assert repr(f"pdm/job/out/{name}") in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("name", HOSTILE)
def test_list_files_hostile_name_is_rejected(name: str) -> None:
    with pytest.raises(DataError, match="not a valid file name"):
        list_files({name: blob(name)}, manifest_of(**{name: 3}), "out")


@pytest.mark.parametrize("name", HARMLESS)
def test_map_names_harmless_name_is_kept(name: str) -> None:
    assert map_names([blob(f"p/{name}")], "p/") == {name: blob(f"p/{name}")}


@given(st.text(string.ascii_letters + "./\\: 0\x00~-", max_size=12))
@example("a/b")
def test_map_names_any_name_stays_in_the_folder(name: str) -> None:
    try:
        (taken,) = map_names([blob(f"p/{name}")], "p/")
    except DataError:
        return
    for folder in (PurePosixPath("/out"), PureWindowsPath("X:/out")):
        assert (folder / taken).is_relative_to(folder)
        assert (folder / taken).parts[len(folder.parts) :] == tuple(name.split("/"))
        assert ".." not in name.split("/")


def test_map_names_leftovers_are_ignored() -> None:
    blobs = [blob("p/.pdm-partial-12-abc/half"), blob("p/b"), blob("p/a/c")]
    assert list(map_names(blobs, "p/")) == ["a/c", "b"]


def test_list_files_returns_what_the_manifest_lists() -> None:
    files = {name: blob(f"p/{name}") for name in ("a", "b/c", "stray", "manifest.json")}
    listed = list_files(files, manifest_of(**{"a": 3, "b/c": 3}), "out")
    messages = ("out", "a, b/c, manifest.json, stray")
    assert listed == [OutputFile(name, blob(f"p/{name}"), sha(b"x"), *messages) for name in ("a", "b/c")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (manifest_of(a=3, gone=1), "out: gone is missing; available: a, b"),
        (manifest_of(a=4), "out: a has 3 bytes, its manifest lists 4; available: a, b"),
        (manifest_of(**{"manifest.json": 3}), "missing"),
        ({"outputs": {"a": {"bytes": 3}}}, "no sha256 and bytes of a"),
        ({"outputs": {"a": "3 bytes"}}, "no sha256 and bytes of a"),
        (manifest_of(**{"b": 3, "b/c": 3}), "b is a file and a folder"),
    ],
)
def test_list_files_mismatch_is_rejected(content: dict[str, Any], message: str) -> None:
    files = {name: blob(f"p/{name}") for name in ("a", "b")}
    files |= {"b/c": blob("p/b/c")} if "b/c" in content["outputs"] else {}
    files |= {"manifest.json": blob("p/manifest.json")} if "manifest.json" in content["outputs"] else {}
    with pytest.raises(DataError, match=message) as caught:
        list_files(files, content, "out")
    assert caught.value.exit_code == 4


def test_find_copy_identical_file_is_found(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("missing", "shorter", "other", "right")]
    for place, content in zip(places[1:], (b"on", b"two", b"one"), strict=True):
        (place / "parts").mkdir(parents=True)
        (place / "parts/a").write_bytes(content)
    file = one("parts/a")
    assert find_copy(file, places) == tmp_path / "right/parts/a"
    assert find_copy(file, places[:3]) is None


def test_store_chunks_are_joined(tmp_path: Path) -> None:
    reported: list[int] = []
    store(iter([b"on", b"e"]), tmp_path / "new/file", reported.append, one("parts/b"))
    assert (tmp_path / "new/file").read_bytes() == b"one"
    assert reported == [2, 1]


def test_store_wrong_hash_fails_and_removes_the_file(tmp_path: Path) -> None:
    reported: list[int] = []
    with pytest.raises(DataError) as caught:
        store(iter([b"two"]), tmp_path / "file", reported.append, one("parts/b"))
    assert caught.value.message.startswith("output model of job-1: parts/b: sha256 ")
    assert all(text in caught.value.message for text in (sha(b"one")[:12], sha(b"two")[:12], "available: a, parts/b"))
    assert not (tmp_path / "file").exists()
    assert sum(reported) == 0


def test_store_interrupted_removes_the_file(tmp_path: Path) -> None:
    def fail_read() -> Iterator[bytes]:
        yield b"on"
        raise TryAgain("dropped")

    reported: list[int] = []
    with pytest.raises(TryAgain):
        store(fail_read(), tmp_path / "file", reported.append, one("parts/b"))
    assert not (tmp_path / "file").exists()
    assert sum(reported) == 0


def test_list_names_many_are_abbreviated() -> None:
    assert list_names([]) == "none"
    assert list_names(["b", "a"]) == "a, b"
    assert list_names("gfedcba") == "a, b, c, d, e and 2 more"


def test_meter_reports_whole_megabytes() -> None:
    reported: list[int] = []
    meter = MegabyteMeter(reported.append)
    for count in (600_000, 600_000, 3_000_000, -3_200_000, 1_000_000):
        meter.advance(count)
    assert reported == [0, 1, 3, -3, 1]


def test_meter_in_threads_counts_everything() -> None:
    reported: list[int] = []
    meter = MegabyteMeter(reported.append)
    run_all([lambda _: [meter.advance(1000) for _ in range(1000)] for _ in range(8)])
    assert sum(reported) == 8


def test_run_all_runs_every_transfer() -> None:
    done: list[int] = []
    run_all([partial(lambda number, _: done.append(number), number) for number in range(20)])
    assert sorted(done) == list(range(20))
    run_all([])


def test_run_all_first_error_stops_the_others() -> None:
    begun: list[str] = []
    ready = threading.Barrier(2)

    def fail(_: Event) -> None:
        ready.wait()
        raise DataError("broken")

    def continue_until(stopped: Event) -> None:
        begun.append("endless")
        ready.wait()
        for _ in until(stopped, iter(lambda: b"chunk", None)):
            pass

    with pytest.raises(DataError, match="broken"):
        run_all([fail, continue_until])
    assert begun == ["endless"]


def test_until_stopped_raises() -> None:
    stopped = Event()
    chunks = until(stopped, iter([b"a", b"b"]))
    assert next(chunks) == b"a"
    stopped.set()
    with pytest.raises(CancelledError):
        next(chunks)


def test_run_all_error_stops_a_retrying_transfer() -> None:
    calls: list[int] = []
    ready = threading.Barrier(2)

    def fail_read() -> bytes:
        calls.append(len(calls))
        # The pool would swallow this error: it ends the test, and the count below fails it.
        assert len(calls) < 3
        if len(calls) == 1:
            ready.wait()
        raise TryAgain("no connection")

    def fail(_: Event) -> None:
        ready.wait()
        raise DataError("broken")

    def continue_until(stopped: Event) -> None:
        retry(lambda: list(until(stopped, iter(fail_read, b""))), warn=lambda _: None, sleep=stopped.wait)

    with pytest.raises(DataError, match="broken"):
        run_all([continue_until, fail])
    assert len(calls) == 1


def test_until_already_stopped_requests_no_chunk() -> None:
    stopped = Event()
    stopped.set()
    asked = iter([b"a"])
    with pytest.raises(CancelledError):
        next(until(stopped, asked))
    assert list(asked) == [b"a"]
