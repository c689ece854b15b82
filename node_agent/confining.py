"""What a container may do to its host, as far as only its node can tell.

Its image says as whom it runs, the node's disk holds profiles for seccomp, and the engine may not
be able to protect anything from being killed when memory is short.
"""

import asyncio
from pathlib import Path

from msgspec.structs import replace

from node_agent.core import confinement
from node_agent.core.actions import ContainerConfig
from node_agent.core.confinement import Confinement, Refused
from node_agent.engine import Engine
from proto.errors import Retryable


class Unfit(Retryable):
    """The container may not be made as it is, until its image or its node changes."""


class Confiner:
    """See the module."""

    def __init__(self, engine: Engine, profiles: Path) -> None:
        """Looks at nothing yet.

        Args:
            engine: Has the images.
            profiles: The folder that ``localhostProfile`` is within.
        """
        self._engine = engine
        self._profiles = profiles

    async def resolved(self, config: ContainerConfig) -> ContainerConfig:
        """The same, with everything that its node must know.

        Raises:
            Unfit: It must not run as root and would, or its profile is not there.
        """
        found = config.confinement
        if found.needs_image_user:
            user = await self._engine.image_user(config.image)
            try:
                found = confinement.with_image_user(found, user, config.asked_as)
            except Refused as refused:
                raise Unfit(str(refused)) from refused
        if found.seccomp_file:
            found = await asyncio.to_thread(self._with_profile, found)
        if found.oom_score < 0:
            lowest = await self._engine.lowest_oom_score()
            found = replace(found, oom_score=max(found.oom_score, lowest))
        return replace(config, confinement=found)

    def _with_profile(self, found: Confinement) -> Confinement:
        root = self._profiles.resolve()
        path = (root / found.seccomp_file).resolve()
        failed = f'cannot load seccomp profile "{self._profiles / found.seccomp_file}"'
        if not path.is_relative_to(root):
            raise Unfit(f"{failed}: it is not within the folder of profiles")
        try:
            return replace(found, seccomp=path.read_text())
        except (OSError, ValueError) as error:
            raise Unfit(f"{failed}: {error}") from error
