# SPDX-License-Identifier: Apache-2.0
"""Client of the commands, whose calls have the options of the command that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oio.api.object_storage import ObjectStorageApi
from oio.common.options import Options

if TYPE_CHECKING:
    from oio.api.types import CallOptions


class CommandStorage(ObjectStorageApi):
    """A client for one command after the other: each sets the defaults of its calls."""

    of_command: CallOptions

    @property
    def _options(self) -> Options:
        return Options.make(self.of_command.items(), super()._options)
