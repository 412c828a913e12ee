# SPDX-License-Identifier: GPL-2.0-only
"""Which kernel is meant, which modules it needs and in which order, and the first files of a guest."""

import gzip
import lzma
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.guests.initramfs import Entry, archive, initramfs
from engines.guests.kernels import KernelFiles, kernel_named
from engines.guests.modules import modules_in_order
from memslots.errors import BadInput, Missing

BZIMAGE = bytes(0x202) + b"HdrS" + b"rest"


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def written(path: Path, content: bytes = BZIMAGE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def package(folder: Path, name: str, *, extra: bytes = b"") -> Path:
    """A Debian package of a kernel with one module."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb: apt-get install dpkg")
    tree = folder / f"tree-of-{name}"
    written(tree / "boot/vmlinuz-6.1.0-9", BZIMAGE + extra)
    written(tree / "lib/modules/6.1.0-9/kernel/kvm.ko", b"kvm")
    control = f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <n@example.org>\nDescription: none\n"
    written(tree / "DEBIAN/control", control.encode())
    deb = folder / f"{name}_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", "-Znone", tree, deb], check=True, capture_output=True)
    return deb


def test_a_bzimage_comes_without_modules(tmp_path: Path) -> None:
    image = written(tmp_path / "bzImage")
    assert kernel_named(str(image)) == KernelFiles(image, None)


@pytest.mark.parametrize(
    ("image", "modules"),
    [
        ("arch/x86/boot/bzImage", "."),
        ("boot/vmlinuz-6.1.0-9", "lib/modules/6.1.0-9"),
        ("vmlinuz-6.1.0-9", "modules/6.1.0-9"),
        ("bzImage", "."),
    ],
)
def test_a_folder_is_searched_for_its_kernel_and_modules(tmp_path: Path, image: str, modules: str) -> None:
    folder = tmp_path / "folder"
    written(folder / image)
    (folder / modules).mkdir(parents=True, exist_ok=True)
    assert kernel_named(str(folder)) == KernelFiles(folder / image, folder / modules)


def test_a_package_is_unpacked_once_for_each_content(tmp_path: Path) -> None:
    deb = package(tmp_path, "linux-image-9")
    kernel = kernel_named(str(deb))
    assert kernel.image.read_bytes() == BZIMAGE
    assert kernel.modules is not None
    assert (kernel.modules / "kernel/kvm.ko").read_bytes() == b"kvm"
    stamp = kernel.image.stat().st_mtime_ns
    inode = kernel.image.stat().st_ino
    assert kernel_named(str(deb)) == kernel
    assert (kernel.image.stat().st_mtime_ns, kernel.image.stat().st_ino) == (stamp, inode)
    other = package(tmp_path / "other", "linux-image-9", extra=b"!")
    assert kernel_named(str(other)).image.read_bytes() == BZIMAGE + b"!"
    # Nothing half done is left, and nothing outside of the cache.
    assert sorted(len(each.name) for each in (tmp_path / "cache/sameslots/guests").iterdir()) == [16, 16]
    assert list(Path().iterdir()) == []


def test_a_package_is_found_by_its_name_where_it_was_downloaded(tmp_path: Path) -> None:
    deb = package(tmp_path, "linux-image-6.1.0-9-amd64")
    with pytest.raises(Missing, match=r"apt-get download linux-image-6\.1\.0-9-amd64"):
        kernel_named("linux-image-6.1.0-9-amd64")
    shutil.copy(deb, Path())
    assert kernel_named("linux-image-6.1.0-9-amd64") == kernel_named(str(deb))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.deb", b"no package", "dpkg-deb cannot unpack it"),
        ("x", b"too short", "no bzImage"),
        ("x", bytes(4096), "no bzImage"),
    ],
)
def test_what_is_no_kernel_is_bad_input(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    if name.endswith(".deb") and shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb: apt-get install dpkg")
    with pytest.raises(BadInput, match=said):
        kernel_named(str(written(tmp_path / name, content)))


def test_a_folder_without_a_kernel_or_with_two_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no kernel in it"):
        kernel_named(str(tmp_path))
    for version in ("6.1", "6.2"):
        written(tmp_path / f"boot/vmlinuz-{version}")
    with pytest.raises(BadInput, match=r"several kernels in it.*vmlinuz-6\.1, vmlinuz-6\.2"):
        kernel_named(str(tmp_path))


def test_what_is_not_there_is_missing() -> None:
    with pytest.raises(Missing, match="not there"):
        kernel_named("nowhere/bzImage")


def module(needs: str) -> bytes:
    return b"\x7fELF\0license=GPL\0depends=" + needs.encode() + b"\0name=x\0"


def test_modules_come_behind_what_they_need_and_each_once(tmp_path: Path) -> None:
    written(tmp_path / "kernel/a/top-most.ko", module("left,right"))
    written(tmp_path / "kernel/b/left.ko", module("bottom"))
    written(tmp_path / "kernel/b/right.ko.xz", lzma.compress(module("bottom")))
    written(tmp_path / "kernel/c/bottom.ko.gz", gzip.compress(module("")))
    written(tmp_path / "kernel/c/unasked.ko", module(""))
    found = modules_in_order(tmp_path, ["top_most", "right", "builtin"])
    assert list(found) == ["bottom", "left", "right", "top_most"]
    assert found["bottom"] == module("")
    assert found["right"] == module("bottom")


def test_a_kernel_without_modules_needs_none() -> None:
    assert modules_in_order(None, ["9p"]) == {}


def test_a_module_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    broken = written(tmp_path / "a.ko.xz", b"no xz")
    with pytest.raises(BadInput, match=str(broken)):
        modules_in_order(tmp_path, ["a"])
    unknown = written(tmp_path / "b.ko.zst", b"?")
    with pytest.raises(BadInput, match=f"{unknown}: expected .ko"):
        modules_in_order(tmp_path, ["b"])


def unarchived(data: bytes) -> list[Entry]:
    """What cpio would find."""
    entries: list[Entry] = []
    while True:
        assert data[:6] == b"070701"
        numbers = [int(data[i : i + 8], 16) for i in range(6, 110, 8)]
        size, name_size = numbers[6], numbers[11]
        name = data[110 : 110 + name_size]
        assert name.endswith(b"\0")
        begin = 110 + name_size + -(110 + name_size) % 4
        content = data[begin : begin + size]
        if name == b"TRAILER!!!\0":
            return entries
        entries.append(Entry(name[:-1].decode(), numbers[1], content, (numbers[9], numbers[10])))
        data = data[begin + size + -size % 4 :]


@given(
    st.lists(
        st.builds(
            Entry,
            st.from_regex(r"[a-z/.]{1,9}", fullmatch=True),
            st.integers(0, 0o177777),
            st.binary(max_size=9),
            st.tuples(st.integers(0, 9), st.integers(0, 9)),
        )
    )
)
def test_an_archive_holds_what_was_put_in(entries: list[Entry]) -> None:
    assert unarchived(archive(entries)) == entries


def test_the_first_files_have_busybox_modules_and_an_init_that_loads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "bin/busybox", b"static").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    modules = {"bottom": b"1", "top": b"2"}
    files = {
        entry.name: entry
        for entry in unarchived(initramfs(modules, ["run", "a b"], {"HOME": "/a 'b"}, ["/some folder"]))
    }
    assert files["bin/busybox"].content == b"static"
    assert (files["modules/bottom"].content, files["modules/top"].content) == (b"1", b"2")
    assert (files["dev/console"].mode, files["dev/console"].device) == (0o020600, (5, 1))
    init = files["init"]
    assert init.mode == 0o100755
    text = init.content.decode()
    assert "for m in bottom top; do" in text
    assert """env -i 'HOME=/a '"'"'b' $b chroot /host run 'a b'""" in text
    assert "write0 /host'/some folder'" in text
    done = subprocess.run(["/bin/sh", "-n"], input=init.content, check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("content", [None, b"\x7fELF ... /lib64/ld-linux-x86-64.so.2 ..."])
def test_a_busybox_that_needs_libraries_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    if content is not None:
        written(tmp_path / "bin/busybox", content).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(Missing, match="apt-get install busybox-static"):
        initramfs({}, ["run"], {}, [])
