# SPDX-License-Identifier: Apache-2.0
"""What requests stand on: urllib3 and pools over it, imported when a name of this module is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oio.common import green

if TYPE_CHECKING:
    import urllib3

    from oio.common.http_connections import (
        LazyResponse,
        RequestTimeout,
        is_made_up,
        is_page,
        read_whole,
        tls_context,
    )
    from oio.common.http_heads import HTTPResponse, index_of
    from oio.common.http_urllib3 import (
        UNREAD,
        get_pool_manager,
        is_untrusted,
        nothing_was_sent,
        oio_exception_from_httperror,
        refuse_to_pickle,
    )

__all__ = [
    "UNREAD",
    "HTTPResponse",
    "LazyResponse",
    "RequestTimeout",
    "get_pool_manager",
    "index_of",
    "is_made_up",
    "is_page",
    "is_untrusted",
    "nothing_was_sent",
    "oio_exception_from_httperror",
    "read_whole",
    "refuse_to_pickle",
    "tls_context",
    "urllib3",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # These use no name of `green` at their top level, see there.
    with green.LOADING:
        from oio.common import http_connections, http_heads, http_urllib3
    homes = vars(http_urllib3), vars(http_connections), vars(http_heads)
    # All at once: nobody may wait for the lock later, and hold another one that a fork copies.
    globals().update({other: next(home[other] for home in homes if other in home) for other in __all__})
    return globals()[name]
