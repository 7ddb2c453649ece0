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

    of_command: CallOptions = {}
    #: The calls of a transfer share the dict of figures, which must not grow with each chunk.
    figures_by_chunk = True

    @property
    def _options(self) -> Options:
        options = Options.make(self.of_command.items(), super()._options)
        return options.changed(figures_by_chunk=self.figures_by_chunk)
