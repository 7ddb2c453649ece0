# SPDX-License-Identifier: Apache-2.0
"""Listings of containers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oio.common.answers import JsonObject, is_truncated
from oio.common.constants import LIST_TRUNCATED_HEADER
from oio.container._params import container_params
from oio.container._requests import ContentRequests

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.common.keywords import RequestOptions


class ListingRoutes(ContentRequests):
    """Requests that list objects."""

    def content_list(
        self,
        account: str | None = None,
        reference: str | None = None,
        limit: int | None = None,
        marker: str | None = None,
        end_marker: str | None = None,
        prefix: str | None = None,
        delimiter: str | None = None,
        properties: bool = False,
        cid: str | None = None,
        versions: bool = False,
        deleted: bool = False,
        version_marker: int | str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> tuple[Any, JsonObject]:
        """List the objects of a container.

        :param limit: size of the page, 1000 by default
        :param marker: names after this one only
        :param end_marker: names before this one only
        :param prefix: names that begin so only
        :param delimiter: one character; what follows it in names is folded into prefixes
        :param properties: also give the properties of each object
        :param versions: also give the older versions, and delete markers
        :param deleted: also give the names whose latest version is a delete marker
        :param version_marker: of the name `marker`, also give the versions that are older than this one;
            services of 7.3 ignore it
        :returns: headers, which tell about the next page, and body
        """
        params = container_params(account, reference, cid, kwargs)
        params.update(
            max=limit,
            marker=marker,
            end_marker=end_marker,
            prefix=prefix,
            delimiter=delimiter,
            properties=properties,
        )
        # For these two, presence counts and not the value (pitfall 92).
        if versions:
            params["all"] = 1
        if deleted:
            params["deleted"] = 1
        if version_marker is not None:
            params["version_marker"] = version_marker
        resp, body = self._send("GET", "/list", kwargs, params, path=None)
        is_truncated(resp, LIST_TRUNCATED_HEADER, self.proxy_netloc)
        return resp.headers, self._expect(resp, body)
