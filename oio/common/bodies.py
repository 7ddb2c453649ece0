# SPDX-License-Identifier: Apache-2.0
"""Queries and bodies of requests, and bodies of answers."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote_plus

from oio.common.json import json as jsonlib
from oio.common.utils import PLAIN

_DECODER = jsonlib.JSONDecoder()
_LONGEST_KEPT = 128
"""Characters of the longest parameter that is remembered as it is written in a query."""


@functools.lru_cache(2048)
def _quoted(text: str) -> str:
    return text if type(text) is str and PLAIN.fullmatch(text) else quote_plus(text)


def encode_query(params: Mapping[str, object] | Iterable[tuple[str, object]]) -> str:
    """Encode parameters as `urlencode` does, which does not remember those that were encoded before."""
    pairs = []
    for key, value in params.items() if type(params) is dict or isinstance(params, Mapping) else params:
        if value is None:
            continue
        if isinstance(value, bytes):
            text = quote_plus(value)
        else:
            written = str(int(value) if isinstance(value, bool) else value)
            text = _quoted(written) if len(written) <= _LONGEST_KEPT else quote_plus(written)
        pairs.append(f"{_quoted(key)}={text}")
    return "&".join(pairs)


def encode_body(data: object, json: object) -> bytes | None:
    """The body as bytes: the proxy does not read one of unknown length (pitfall 144).

    :param data: text or bytes; None when there is none
    :param json: an object to send as JSON instead
    """
    if json is not None:
        data = jsonlib.dumps(json)
    if isinstance(data, str):
        return data.encode("utf-8")
    if data is None or isinstance(data, bytes):
        return data
    raise TypeError(f"data must be text or bytes, not {type(data).__name__}")


def decode_body(raw: bytes) -> Any:
    """Read the body of an answer: an object when it is JSON, else the same bytes."""
    try:
        # Most often UTF-8: the standard function looks for other encodings first.
        text = raw.decode("utf-8", "surrogatepass").strip(" \t\n\r")
        answer, end = _DECODER.raw_decode(text)
        if end == len(text):
            return answer
    except (ValueError, RecursionError):
        pass
    try:
        # A byte order mark, or another encoding.
        return jsonlib.loads(raw)
    except (ValueError, RecursionError):
        return raw
