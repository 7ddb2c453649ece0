# SPDX-License-Identifier: Apache-2.0
"""The B2 service: dispatch of requests to its operations."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Final

from oio.sandbox.b2.accounts import ACCOUNT_OPERATIONS
from oio.sandbox.b2.calls import B2Call, answer, read_arguments, refused
from oio.sandbox.b2.downloads import download_by_id, download_by_name
from oio.sandbox.b2.errors import B2Refusal, bad_request, not_found
from oio.sandbox.b2.files import FILE_OPERATIONS
from oio.sandbox.b2.store import B2Store
from oio.sandbox.b2.uploads import UPLOAD_OPERATIONS
from oio.sandbox.faults import b2_operation
from oio.sandbox.messages import Request, Response

_PATH: Final = re.compile(r"/b2api/v([1-4])/([a-z0-9_]+)((?:/[^/]+)*)/?")
_DOWNLOAD: Final = "download"
_BY_ID: Final = "b2_download_file_by_id"

#: Handlers of the operations that answer JSON, by name.
OPERATIONS: Final = ACCOUNT_OPERATIONS | FILE_OPERATIONS | UPLOAD_OPERATIONS
#: Names of operations in faults; one stands for all downloads.
NAMES: Final = sorted([*OPERATIONS, _BY_ID, _DOWNLOAD])

_READING: Final = frozenset(
    {
        *("b2_authorize_account", "b2_list_buckets", "b2_list_keys"),
        *("b2_list_file_names", "b2_list_file_versions", "b2_get_file_info", "b2_list_parts"),
        *("b2_list_unfinished_large_files", "b2_get_upload_url", "b2_get_upload_part_url"),
    }
)
_BEFORE_UPLOADS: Final = frozenset(
    {"b2_get_upload_url", "b2_get_upload_part_url", "b2_start_large_file", *UPLOAD_OPERATIONS}
)
#: In test mode, one upload in this many fails, one call in this many finds its token expired.
_SOME: Final = 3


class B2:
    """A B2 service without its sockets; safe from many threads.

    :param store: its keys, buckets and files.
    :param endpoint: its URL, for calls, uploads and downloads.
    """

    def __init__(self, store: B2Store, endpoint: str) -> None:
        self._store = store
        self._endpoint = endpoint
        self._tested = itertools.count(1)

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        try:
            return self._route(request)
        except B2Refusal as refusal:
            return refused(refusal)
        except (UnicodeEncodeError, OverflowError) as exc:
            return refused(bad_request(f"Unusable value: {exc}"))

    def met_fault(self, request: Request, status: int | None) -> None:
        """Expire the URL of an upload that failed by a fault."""
        found = _PATH.fullmatch(request.path)
        harmless = status is not None and status < 500 and status not in {401, 408}
        if found and found[2] in UPLOAD_OPERATIONS and not harmless:
            self._store.upload_urls.expire(found[3].rpartition("/")[2])

    def _route(self, request: Request) -> Response:
        operation = b2_operation(request.path)
        if request.path.startswith("/file/"):
            _check_method(request, "GET", "HEAD")
            rest = tuple(request.path.split("/")[2:])
            return download_by_name(self._call(request, 1, rest, {}))
        found = _PATH.fullmatch(request.path)
        if found is None or not (operation in OPERATIONS or operation == _BY_ID):
            raise not_found(f"no such operation: {request.path}")
        version, rest = int(found[1]), tuple(found[3].strip("/").split("/"))
        if operation == _BY_ID:
            _check_method(request, "GET", "HEAD", "POST")
            return download_by_id(self._call(request, version, rest, read_arguments(request)))
        _check_method(request, "POST", *(["GET"] if operation in _READING else []))
        body = {} if operation in UPLOAD_OPERATIONS else read_arguments(request)
        self._test(operation, request)
        return answer(OPERATIONS[operation](self._call(request, version, rest, body)))

    def _call(
        self, request: Request, version: int, rest: tuple[str, ...], body: Mapping[str, object]
    ) -> B2Call:
        return B2Call(self._store, self._endpoint, version, request, rest, body)

    def _test(self, operation: str, request: Request) -> None:
        """Raise the failure that the test mode of the request asks for, if any."""
        mode = request.get("x-bz-test-mode")
        if mode == "force_cap_exceeded" and operation in _BEFORE_UPLOADS:
            raise B2Refusal(403, "cap exceeded (test mode)", "cap_exceeded")
        if mode == "fail_some_uploads" and operation in UPLOAD_OPERATIONS:
            if not next(self._tested) % _SOME:
                self.met_fault(request, 503)
                raise B2Refusal(503, "c001_v0001000_t0000 is too busy (test mode)")
        elif mode == "expire_some_account_authorization_tokens":
            token = request.get("authorization")
            if operation not in {"b2_authorize_account", *UPLOAD_OPERATIONS} and not (
                next(self._tested) % _SOME
            ):
                self._store.keys.expire(token)


def _check_method(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise B2Refusal(405, f"method {request.method} is not allowed")
