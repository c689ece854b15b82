"""Give a running container the host name of its pod.

A container that shares a holder's network starts with the holder's host name, and a holder from the
pool was made before its pod was known. The name lives in the container's own UTS namespace, so it
can be set from outside as soon as the container runs: by root, on the engine's own host. Anywhere
else the environment variable HOSTNAME is all a container gets.
"""

import asyncio
import ctypes
import os
from pathlib import Path

CLONE_NEWUTS = 0x04000000
"""Source: sched.h."""


async def set_hostname(pid: int, container_id: str, hostname: str) -> bool:
    """Whether it could be set.

    Args:
        pid: The container's first process, as the engine's host numbers it.
        container_id: Guards against a number that means another process here.
        hostname: At most 64 bytes.
    """
    if pid <= 0 or os.geteuid() != 0:
        return False
    return await asyncio.to_thread(_set_hostname, pid, container_id, hostname.encode())


def _set_hostname(pid: int, container_id: str, hostname: bytes) -> bool:
    """Enters the namespace with this thread alone, and leaves it again."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if container_id not in Path(f"/proc/{pid}/cgroup").read_text():
            return False
        own = os.open("/proc/thread-self/ns/uts", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        theirs = os.open(f"/proc/{pid}/ns/uts", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(theirs).st_ino == os.fstat(own).st_ino:
                return False  # it shares the host's name, which is not ours to change
            if libc.setns(theirs, CLONE_NEWUTS) != 0:
                return False
        finally:
            os.close(theirs)
        try:
            return bool(libc.sethostname(hostname, len(hostname)) == 0)
        finally:
            libc.setns(own, CLONE_NEWUTS)
    except OSError:
        return False
    finally:
        os.close(own)
