# SPDX-License-Identifier: Apache-2.0
"""Link: an object made of second names of the chunks of another, whose data they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from oio.api._data.layout import Layout, lay_out
from oio.api._data.ownership import is_owned
from oio.api._data.strategies import check_linkable, strategy_for
from oio.api._operations.commit import Commit, Product, Target
from oio.api._operations.upload import Upload
from oio.common import exceptions as exc
from oio.common.chunks import Chunk, Outcome, late, to_remove

if TYPE_CHECKING:
    from oio.api._operations.services import Services
    from oio.common.answers import JsonObject
    from oio.common.options import Options


def find_target(
    services: Services, target: Target, version: int | str | None, content_id: str | None, options: Options
) -> Layout:
    """Locate what to link to, whatever is cached."""
    account, container, obj = target
    # A name would win over the content ID.
    path = None if content_id else obj
    meta, chunks = services.container.content_locate(
        account,
        container,
        path,
        content=content_id,
        version=version,
        properties=False,
        options=options,
    )
    for key, wanted in (("name", obj or None), ("version", version)):
        if wanted is not None and meta.get(key) != str(wanted):
            raise exc.NotFound(
                404, None, f"the {key} of content {content_id} is {meta.get(key)!r}, not {wanted!r}"
            )
    check_linkable(meta)
    return lay_out(meta, chunks, [], services.logger)


def link_object(
    services: Services, target: Target, layout: Layout, properties: Mapping[str, str], options: Options
) -> JsonObject:
    """Make the links, and commit the object.

    :param target: the new object
    :param layout: of the object to link to
    :param properties: of the new object
    :returns: description of the new object
    """
    found = layout.meta
    upload = Upload(services, target, Commit(properties=properties), options, policy=found["policy"])
    same = {key: found.get(key) for key in ("mime_type", "chunk_method", "hash")}
    size = {"length": str(layout.size), "size": str(layout.size)}
    preparer = upload.prepare()
    meta = upload.describe(preparer.meta, same | size)
    # The properties of the preparation describe chunks that are not written.
    meta["properties"] = dict(properties)
    cid = options.cid_of(*target[:2])
    strategy = strategy_for(found["chunk_method"], services, cid, options)
    renames = not preparer.has_computed_ids(cid)
    outcomes: list[Outcome] = []

    def clean(*, only_failed: bool = False) -> None:
        doomed, hanging = to_remove(outcomes, only_failed=only_failed), late(outcomes)

        def is_ours(link: Chunk, phase: Options) -> bool:
            # The answer that was lost may have been the refusal to replace a chunk: links have computed IDs.
            return link.url not in hanging or is_owned(services.blob_client, meta["full_path"], link, phase)

        strategy.delete(doomed, options, hanging, is_ours)

    made: list[Chunk] = []
    try:
        for metachunk in layout.metachunks:
            linker = strategy.linker(meta, metachunk.chunks, options.per_request(), renames=renames)
            try:
                made += linker.link()
            finally:
                outcomes += linker.outcomes
    except BaseException:  # The services do not know the links, whatever stopped us.
        clean()
        raise
    # The checksum of an object that was written in parts is not known.
    chunks = [chunk.described() for chunk in made]
    upload.publish(Product(meta, chunks, layout.size, meta["hash"] or None), clean)
    # A service may hold the links that failed, which no object names.
    clean(only_failed=True)
    return meta
