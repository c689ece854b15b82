"""What every storage does: one suite for the one in memory and for the one on disk and tmpfs."""

import os
import shutil
import stat
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from node_agent.core.contents import Held, SourceKey
from node_agent.core.naming import PodKey
from node_agent.core.volume_actions import (
    File,
    FilesConfig,
    HostPathConfig,
    Mount,
    RoomConfig,
    StoredConfig,
)
from node_agent.storage import Storage, StorageFailure
from node_agent.storage.files import FileStorage
from node_agent.storage.memory import MemoryStorage
from proto.messages import Content

POD = PodKey("default", "web", "uid-web")
OTHER = PodKey("default", "other", "uid-other")
SECRET = SourceKey("Secret", "default", "keys")
CONFIG = SourceKey("ConfigMap", "default", "settings")
HELD = Held(Content(text={"a": "1"}, data={"b": b"\xff"}), "7", "6")


@pytest.fixture
def tmpfs() -> Iterator[Path]:
    path = Path("/dev/shm") / f"longshore-test-{uuid.uuid4().hex[:8]}"
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(params=["memory", "files"])
def storage(request, tmp_path, tmpfs) -> Storage:
    return MemoryStorage() if request.param == "memory" else FileStorage(tmp_path / "s", tmpfs)


def files(name: str, mark: str, *, is_secret: bool = False, **content: bytes) -> FilesConfig:
    made = tuple(File(path, data, 0o644) for path, data in content.items())
    return FilesConfig(name, made, mark, is_secret)


async def test_nothing_is_there_at_first_and_removing_it_is_fine(storage: Storage):
    assert await storage.open() == {}
    assert await storage.volumes() == {}
    await storage.remove(POD)
    await storage.drop(SECRET)


async def test_volumes_are_seen_with_their_marks_until_they_are_removed(storage: Storage, tmp_path):
    await storage.prepare(POD, RoomConfig("room"))
    await storage.prepare(POD, HostPathConfig("host", str(tmp_path), "Directory"))
    await storage.prepare(POD, files("plain", "m1", a=b"1"))
    await storage.prepare(POD, files("hidden", "m2", is_secret=True, b=b"2"))
    await storage.prepare(OTHER, RoomConfig("room"))
    marks = {"room": "", "host": "", "plain": "m1", "hidden": "m2"}
    assert await storage.volumes() == {POD: marks, OTHER: {"room": ""}}
    await storage.remove(POD)
    assert await storage.volumes() == {OTHER: {"room": ""}}
    assert tmp_path.exists(), "a path of the host is not the pod's to remove"


async def test_making_a_volume_again_changes_its_mark_alone(storage: Storage):
    for mark in ("m1", "m1", "m2", "m1"):
        await storage.prepare(POD, files("v", mark, a=mark.encode()))
        assert await storage.volumes() == {POD: {"v": mark}}


async def test_contents_are_kept_for_the_next_agent_and_dropped(storage: Storage):
    await storage.keep(SECRET, HELD)
    await storage.keep(CONFIG, HELD)
    newer = Held(Content(), "8", "8")
    await storage.keep(CONFIG, newer)
    assert await storage.open() == {SECRET: HELD, CONFIG: newer}
    await storage.drop(SECRET)
    assert await storage.open() == {CONFIG: newer}


async def test_what_outlives_pods_stays_until_it_is_removed_by_name(storage: Storage):
    assert list(await storage.stored()) == []
    for name in ("pvc-2", "pvc-1", "pvc-2"):
        await storage.prepare(POD, StoredConfig("v", name))
    assert sorted(await storage.stored()) == ["pvc-1", "pvc-2"]
    assert await storage.volumes() == {}, "it is no pod's"
    await storage.remove(POD)
    for _ in range(2):
        await storage.remove_stored("pvc-1")
    assert list(await storage.stored()) == ["pvc-2"]


async def test_last_words_are_kept_while_their_containers_are_known(storage: Storage):
    assert await storage.message("one") == ""
    path = await storage.prepare_message("one")
    assert path.endswith("/one") or not path
    assert await storage.message("one") == ""
    await storage.sweep_messages({"one"})
    await storage.prepare_message("one")  # over what a try that was cut short left
    await storage.remove_message("one")
    await storage.remove_message("one")
    assert await storage.used(POD, "room") == 0


# ------------------------------------------------------------ on disk and tmpfs


async def test_what_outlives_pods_is_there_for_the_next_agent_and_open_to_all(tmp_path, tmpfs):
    disk = FileStorage(tmp_path / "s", tmpfs)
    await disk.prepare(POD, StoredConfig("v", "pvc-1"))
    folder = Path(disk.places.stored) / "pvc-1"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777
    await disk.prepare(POD, StoredConfig("v", "pvc-0", os.getgid()))
    given = (folder.parent / "pvc-0").stat()
    assert stat.S_IMODE(given.st_mode) == 0o2777, "what is made there is the group's"
    await disk.remove_stored("pvc-0")
    (folder / "kept").write_text("x")
    (folder.parent / ".pvc-2").mkdir()  # an agent was killed in the middle
    later = FileStorage(tmp_path / "s", tmpfs)
    assert list(await later.stored()) == ["pvc-1"]
    await later.prepare(POD, StoredConfig("v", "pvc-1"))
    await later.prepare(POD, StoredConfig("v", "pvc-2"))
    assert (folder / "kept").read_text() == "x"
    await later.remove_stored("pvc-1")
    assert [path.name for path in folder.parent.iterdir()] == ["pvc-2"]


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../pods", "/etc", ".hidden"])
async def test_no_name_leads_out_of_the_folder(tmp_path, tmpfs, name: str):
    disk = FileStorage(tmp_path / "s", tmpfs)
    await disk.prepare(POD, RoomConfig("room"))
    with pytest.raises(StorageFailure, match="is no name of a volume"):
        await disk.remove_stored(name)
    with pytest.raises(StorageFailure, match="is no name of a volume"):
        await disk.prepare(POD, StoredConfig("v", name))
    assert await disk.volumes() == {POD: {"room": ""}}


async def test_a_link_is_not_followed_when_a_folder_is_removed(tmp_path, tmpfs):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "kept").write_text("x")
    disk = FileStorage(tmp_path / "s", tmpfs)
    await disk.prepare(POD, StoredConfig("v", "pvc-1"))
    folder = Path(disk.places.stored)
    (folder / "pvc-1" / "inside").symlink_to(tmp_path / "theirs")
    (folder / "pvc-2").symlink_to(tmp_path / "theirs")
    await disk.remove_stored("pvc-1")
    with pytest.raises(StorageFailure):
        await disk.remove_stored("pvc-2")
    assert (tmp_path / "theirs" / "kept").read_text() == "x"


async def test_what_something_is_mounted_in_is_not_emptied(tmp_path, tmpfs):
    disk = FileStorage(tmp_path / "s", tmpfs)
    await disk.prepare(POD, StoredConfig("v", "pvc-1"))
    inner = Path(disk.places.stored) / "pvc-1" / "inner"
    inner.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "tmpfs", inner], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip("only root may mount")
    try:
        with pytest.raises(StorageFailure, match="unmount it first"):
            await disk.remove_stored("pvc-1")
        assert inner.is_mount()
    finally:
        subprocess.run(["umount", inner], check=True)
    await disk.remove_stored("pvc-1")
    assert list(await disk.stored()) == []


@pytest.fixture
def real(tmp_path, tmpfs) -> FileStorage:
    return FileStorage(tmp_path / "s", tmpfs)


def path_of(storage: FileStorage, volume: str, *, room: str, pod: PodKey = POD) -> Path:
    return Path(storage.places.disk) / pod.uid / room / volume


async def test_without_a_tmpfs_secrets_are_refused_and_nothing_of_them_is_written(tmp_path):
    storage = FileStorage(tmp_path / "s", tmp_path / "no-tmpfs")
    with pytest.raises(StorageFailure, match=r"not on a tmpfs: set secrets_dir"):
        await storage.prepare(POD, files("hidden", "m", is_secret=True, a=b"hush"))
    with pytest.raises(StorageFailure, match="not on a tmpfs"):
        await storage.keep(SECRET, HELD)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
    await storage.prepare(POD, files("plain", "m", a=b"1"))


async def test_secrets_are_on_the_tmpfs_alone_and_for_nobody_else(real, tmp_path, tmpfs):
    await real.prepare(POD, files("hidden", "m", is_secret=True, a=b"hush"))
    await real.keep(SECRET, HELD)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
    assert (tmpfs / "pods" / POD.uid / "files" / "hidden" / "a").read_bytes() == b"hush"
    assert tmpfs.stat().st_mode & 0o777 == 0o700


async def test_what_an_agent_that_was_killed_left_is_cleared_or_seen(real, tmp_path):
    await real.prepare(POD, RoomConfig("room"))
    await real.prepare(POD, files("v", "m1", a=b"1"))
    pods = Path(real.places.disk)
    (pods / f".{OTHER.uid}").mkdir()  # between the making of a folder and its name
    half = path_of(real, "v", room="files") / "..m2"
    half.mkdir()
    (pods / POD.uid / "rooms" / ".more").mkdir()  # before it is for everybody
    (half / "a").write_bytes(b"")
    await real.keep(CONFIG, HELD)
    (kept,) = (tmp_path / "s" / "contents").iterdir()
    kept.rename(kept.with_suffix(".new"))  # written, and not yet in its place
    (tmp_path / "s" / "contents" / "x").write_bytes(b"{")
    again = FileStorage(tmp_path / "s", tmp_path / "t")
    assert await again.open() == {}
    assert await again.volumes() == {POD: {"room": "", "v": "m1"}}
    await again.prepare(POD, files("v", "m2", a=b"2"))
    await again.prepare(POD, RoomConfig("more"))
    assert path_of(again, "more", room="rooms").stat().st_mode & 0o777 == 0o777
    assert (path_of(again, "v", room="files") / "a").read_bytes() == b"2"
    assert list((tmp_path / "s" / "contents").iterdir()) == []
    # Between the first thing that is removed and the last.
    shutil.rmtree(pods / POD.uid / "rooms")
    assert POD in await again.volumes()
    await again.remove(POD)
    assert list(pods.iterdir()) == []


async def test_a_pod_can_remove_what_it_likes_in_its_room_and_nothing_is_read_there(real):
    await real.prepare(POD, RoomConfig("room"))
    room = path_of(real, "room", room="rooms")
    assert room.stat().st_mode & 0o777 == 0o777
    (room / "..data").symlink_to("/etc")
    assert await real.volumes() == {POD: {"room": ""}}
    await real.remove(POD)
    assert Path("/etc/passwd").exists()


@pytest.mark.parametrize(
    ("type", "name", "refusal"),
    [
        ("Directory", "file", "is not a directory"),
        ("Directory", "nothing", "is not a directory"),
        ("DirectoryOrCreate", "file", "is not a directory"),
        ("File", "folder", "is not a file"),
        ("FileOrCreate", "folder", "is not a file"),
        ("Socket", "file", "is not a socket file"),
        ("Directory", "folder", ""),
        ("DirectoryOrCreate", "new", ""),
        ("File", "file", ""),
        ("FileOrCreate", "new", ""),
        ("", "file", ""),
        ("", "new", ""),
    ],
)
async def test_a_path_of_the_host_must_be_what_it_is_said_to_be(
    real, tmp_path, type, name, refusal
):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    config = HostPathConfig("v", str(tmp_path / name), type)
    if refusal:
        with pytest.raises(StorageFailure, match=f"hostPath type check failed: .*{refusal}"):
            await real.prepare(POD, config)
        return
    await real.prepare(POD, config)
    assert (tmp_path / name).is_file() == (name == "file" or type == "FileOrCreate")


async def test_a_path_that_no_file_system_takes_is_refused(real):
    for path in ("/a\0b", "/\ud800", f"/{'a' * 300}"):
        with pytest.raises(StorageFailure):
            await real.prepare(POD, HostPathConfig("v", path, "Directory"))
        with pytest.raises(StorageFailure):
            await real.prepare(POD, files("v", "m", **{path.strip("/"): b""}))


async def test_a_part_of_a_volume_is_made_and_stays_within_it(real, tmp_path):
    await real.prepare(POD, RoomConfig("room"))
    room = path_of(real, "room", room="rooms")
    mount = Mount(name="room", target="/x", source=str(room), sub_path="a/b")
    assert await real.source(mount) == str(room / "a" / "b")
    assert (room / "a" / "b").stat().st_mode & 0o777 == 0o777
    (room / "out").symlink_to("/etc")
    for leaving in ("out", "out/passwd"):
        escape = Mount(name="room", target="/x", source=str(room), sub_path=leaving)
        with pytest.raises(StorageFailure, match="not within the volume"):
            await real.source(escape)
    await real.prepare(POD, files("v", "m", key=b"1"))
    volume = path_of(real, "v", room="files")
    one = Mount(name="v", target="/x", source=str(volume), sub_path="key", is_of_files=True)
    assert Path(await real.source(one)).read_bytes() == b"1"
    none = Mount(name="v", target="/x", source=str(volume), sub_path="no", is_of_files=True)
    with pytest.raises(StorageFailure, match="holds no no"):
        await real.source(none)


async def test_only_old_last_words_of_nobody_are_swept_and_long_ones_are_cut(real, tmp_path):
    for name in ("mine", "old", "new"):
        path = Path(await real.prepare_message(name))
        assert path.stat().st_mode & 0o777 == 0o666
        path.write_text("x" * 5000)
    for name in ("mine", "old"):
        os.utime(tmp_path / "s" / "messages" / name, (1, 1))
    await real.sweep_messages({"mine"})
    assert [len(await real.message(name)) for name in ("mine", "old", "new")] == [4096, 0, 4096]


async def test_room_is_measured_in_what_it_takes_of_the_disk(real):
    await real.prepare(POD, RoomConfig("room"))
    assert await real.used(POD, "room") == 0
    room = path_of(real, "room", room="rooms")
    (room / "folder").mkdir()
    (room / "folder" / "x").write_bytes(b"1" * 300_000)
    os.link(room / "folder" / "x", room / "twice")
    with (room / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    (room / "out").symlink_to("/usr")
    assert 300_000 <= await real.used(POD, "room") < 400_000


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_volumes_are_their_pods_groups(real):
    await real.prepare(POD, RoomConfig("room", 2000))
    await real.prepare(POD, replace(files("v", "m", **{"a/b": b"1"}), group=2000))
    await real.prepare(POD, files("others", "m", c=b"1"))
    room, made = path_of(real, "room", room="rooms"), path_of(real, "v", room="files")

    def seen(path: Path) -> tuple[int, str]:
        return path.stat().st_gid, oct(path.stat().st_mode & 0o7777)

    assert seen(room) == (2000, "0o2777")
    assert [seen(made / at) for at in (".", "a", "a/b")] == [
        (2000, "0o2755"),
        (2000, "0o2755"),
        (2000, "0o644"),
    ]
    assert seen(path_of(real, "others", room="files") / "c") == (0, "0o644")
