"""The real `longshore`, for a user who has nothing."""

import subprocess
import sys
from pathlib import Path

LONGSHORE = str(Path(sys.executable).parent / "longshore")


def longshore(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run it, whatever comes of it."""
    return subprocess.run(
        [LONGSHORE, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "COLUMNS": "100", **env},
    )
