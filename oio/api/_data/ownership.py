# SPDX-License-Identifier: Apache-2.0
"""Which object a chunk is of, as its server tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oio.common.fullpath import decode_fullpath

if TYPE_CHECKING:
    from oio.blob.client import BlobClient
    from oio.common.chunks import Chunk
    from oio.common.options import Options


def is_owned(blob: BlobClient, owner: str, chunk: Chunk, options: Options) -> bool:
    """Ask the server of a chunk whether it is of an object.

    :param owner: full path of the object
    :raises NotFound: there is no such chunk
    :raises OioException: its server does not answer, or refuses
    :raises KeyError: or ValueError, when it does not tell
    """
    known = blob.chunk_head(chunk.address, options=options)
    return decode_fullpath(known["full_path"]) == decode_fullpath(owner)
