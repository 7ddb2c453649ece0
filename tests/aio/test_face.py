# SPDX-License-Identifier: Apache-2.0
"""The face has the calls of the facade, with the same arguments and types."""

from __future__ import annotations

import asyncio
import inspect
import re

import pytest

from oio.aio import AsyncObjectStorageApi
from oio.api.object_storage import ObjectStorageApi

NAMES = [
    name
    for name in dir(ObjectStorageApi)
    if name.startswith(("account_", "container_", "object_", "resolve_"))
    or (name.startswith("all_") and callable(getattr(ObjectStorageApi, name)))
]


TYPES = {
    "Data": "AsyncData",
    "ObjectStream": "AsyncObjectStream",
    "BufferedReader": "Opening[AsyncObjectReader]",
    "ObjectWriter": "Opening[AsyncObjectWriter]",
    "Iterator": "AsyncItems",
}
"""Types of the facade, and their counterparts of the face."""
NOT_AWAITED = ("object_open", "object_list_all", "container_list_all", "container_check", "container_repair")


def test_no_part_of_the_facade_is_missing() -> None:
    assert len(NAMES) > 40
    assert [name for name in NAMES if not hasattr(AsyncObjectStorageApi, name)] == []
    theirs = {name for name in dir(ObjectStorageApi) if name[0] != "_" and name not in NAMES}
    assert (
        theirs
        == {
            *("EXTRA_KEYWORDS", "TIMEOUT_KEYS", "close", "namespace"),
            *("account", "blob_client", "container", "directory", "logger", "proxy_client"),
        }
        & theirs
    )


def translated(annotation: str) -> str:
    for old, new in TYPES.items():
        annotation = re.sub(rf"\b{old}\b", new, annotation)
    return annotation


@pytest.mark.parametrize("name", NAMES)
def test_arguments_and_types_are_those_of_the_facade(name: str) -> None:
    theirs = inspect.signature(getattr(ObjectStorageApi, name))
    ours = inspect.signature(getattr(AsyncObjectStorageApi, name))
    assert list(ours.parameters) == list(theirs.parameters)
    for one, other in zip(ours.parameters.values(), theirs.parameters.values(), strict=True):
        assert (one.kind, one.default) == (other.kind, other.default)
        assert one.annotation == (
            other.annotation if other.annotation is inspect.Parameter.empty else translated(other.annotation)
        )
    assert ours.return_annotation == translated(theirs.return_annotation)


@pytest.mark.parametrize("name", NAMES)
def test_each_call_is_awaited_iterated_over_or_opened(name: str) -> None:
    method = getattr(AsyncObjectStorageApi, name)
    waits = name not in NOT_AWAITED
    # Several calls have the same arguments: none must be made in the place of another.
    assert (method.__module__[:7], method.__name__) == ("oio.aio", name)
    assert inspect.iscoroutinefunction(method) is waits
    assert method.__doc__
    assert ">>>" not in method.__doc__


def test_words_are_those_of_event_loops() -> None:
    assert "async iterator" in str(AsyncObjectStorageApi.container_list_all.__doc__)
    assert "an async iterator of blocks" in str(AsyncObjectStorageApi.object_fetch.__doc__)
    assert "in a thread of the client" in str(AsyncObjectStorageApi.container_check.__doc__)


@pytest.mark.parametrize("name", NAMES)
def test_words_name_no_attribute_that_the_face_lacks(name: str) -> None:
    words = str(getattr(AsyncObjectStorageApi, name).__doc__)
    named = set(re.findall(r"``api\.(\w+)", words))
    assert [one for one in named if one != "sync" and not hasattr(AsyncObjectStorageApi, one)] == []


def test_iterators_refuse_arguments_that_do_not_fit_at_the_call() -> None:
    async def main() -> None:
        async with AsyncObjectStorageApi("OPENIO", endpoint="127.0.0.1:1") as api:
            with pytest.raises(TypeError, match=r"^container_check\(\): too many"):
                api.container_check("account", "container", "p", True)  # type: ignore[call-arg, misc]

    asyncio.run(main())
