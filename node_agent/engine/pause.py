"""The holder of a pod's namespaces: a program that does nothing, as an image made from nothing.

A pod's containers share the network and IPC namespaces of one holder, so that each of them may come
and go while the pod keeps its address. No registry is needed: the program is a static ELF of some
150 bytes, written out here instruction by instruction, in the archive form of ``docker save``.
"""

import hashlib
import io
import json
import struct
import tarfile

IMAGE = "longshore/pause:1"
"""Change the number with the program: an agent loads the image only where it is absent."""

_X86_64 = bytes.fromhex(
    "b822000000"  # mov eax, 34 (pause)
    "0f05"  # syscall
    "ebf7"  # jmp to the start: a handled signal must not end it
)
_AARCH64 = bytes.fromhex(
    "000080d2"  # mov x0, 0
    "010080d2"  # mov x1, 0
    "020080d2"  # mov x2, 0
    "030080d2"  # mov x3, 0
    "280980d2"  # mov x8, 73 (ppoll: this architecture has no pause)
    "010000d4"  # svc 0
    "faffff17"  # b to the start
)
_MACHINES = {"amd64": (0x3E, _X86_64), "arm64": (0xB7, _AARCH64)}
"""Go's name of an architecture to ELF's e_machine and the program. Source: elf(5)."""

_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}
"""The kernel's names to Go's."""

_LOAD_ADDRESS = 0x400000


def architecture(machine: str) -> str:
    """Go's name for what `uname -m` and Docker's info call it."""
    return _NAMES.get(machine, machine)


def program(arch: str) -> bytes:
    """The executable.

    Raises:
        KeyError: There is none for this architecture.
    """
    machine, code = _MACHINES[arch]
    start = 64 + 56  # the ELF header and one program header
    size = start + len(code)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",  # 64 bits, little endian, version 1; padded with zeros
        2,  # ET_EXEC
        machine,
        1,
        _LOAD_ADDRESS + start,  # entry point
        64,  # where the program headers are
        0,
        0,
        64,
        56,
        1,
        0,
        0,
        0,
    )
    # PT_LOAD, readable and executable, page-aligned
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _LOAD_ADDRESS, _LOAD_ADDRESS, size, size, 0x1000)
    return header + segment + code


def archive(arch: str) -> bytes:
    """The image as ``docker load`` takes it. The same bytes every time."""
    layer = _tar({"pause": program(arch)})
    config = json.dumps(
        {
            "architecture": arch,
            "os": "linux",
            # The first process of a namespace ignores the signals that it does not handle.
            "config": {"Entrypoint": ["/pause"], "StopSignal": "SIGKILL"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_sha256(layer)}"]},
        }
    ).encode()
    name = f"{_sha256(config)}.json"
    manifest = [{"Config": name, "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]
    return _tar({name: config, "layer.tar": layer, "manifest.json": json.dumps(manifest).encode()})


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
