# SPDX-License-Identifier: Apache-2.0
"""Translation of exceptions of the store to those that programs expect of a filesystem."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from oio.common import exceptions as exc

_KINDS: tuple[tuple[tuple[type[Exception], ...], type[OSError], int], ...] = (
    (
        (exc.NoSuchAccount, exc.NoSuchContainer, exc.NoSuchObject, exc.NotFound),
        FileNotFoundError,
        errno.ENOENT,
    ),
    ((exc.Forbidden,), PermissionError, errno.EACCES),
    ((exc.ContainerNotEmpty,), OSError, errno.ENOTEMPTY),
    ((exc.DeadlineReached, exc.OioTimeout), TimeoutError, errno.ETIMEDOUT),
    ((exc.OioNetworkException, exc.ServiceUnavailable), OSError, errno.EIO),
)


@contextlib.contextmanager
def as_os_errors(path: str) -> Iterator[None]:
    """Turn exceptions of the store into those of a filesystem, whose cause they are.

    :param path: of the exception
    :raises OSError: or a subclass of it. Others come out as they are
    """
    try:
        yield
    except exc.OioException as err:
        if isinstance(err, OSError):
            raise
        for kinds, kind, number in _KINDS:
            if isinstance(err, kinds):
                raise kind(number, str(err), path) from err
        raise
