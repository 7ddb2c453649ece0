# SPDX-License-Identifier: Apache-2.0
"""Faults that strike the commit of an object, and the exceptions that they raise."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from oio.common import exceptions as exc
from oio.sandbox import Fault

COMMIT = "content/create"


def refusal(http: int, status: int, operation: str = COMMIT) -> Fault:
    body = json.dumps({"status": status, "message": "because"})
    return Fault("status", service="proxy", operation=operation, status=http, body=body)


REFUSALS = [
    (400, 400, exc.BadRequest),
    (403, 403, exc.Forbidden),
    (404, 406, exc.NoSuchContainer),
    (404, 431, exc.NoSuchContainer),
    (409, 421, exc.Conflict),
    (409, 424, exc.Conflict),
    (413, 413, exc.TooLarge),
    (500, 425, exc.ClientException),
    (500, 445, exc.ClientException),
    (500, 480, exc.ClientException),
    (500, 481, exc.ClientException),
    (503, 436, exc.ServiceBusy),
]
"""Definitive refusals: HTTP status, status in the body, exception."""


def page(status: int) -> Fault:
    return Fault(
        "status",
        service="proxy",
        operation=COMMIT,
        status=status,
        body="<html>Bad gateway</html>",
        content_type="text/html",
    )


def trouble(action: str, **settings: Any) -> Fault:
    return Fault(action, service="proxy", operation=COMMIT, **settings)


class Doubt(NamedTuple):
    """A fault after which a commit is not executed, though the client cannot know, and the exception."""

    fault: Fault
    expected: type[exc.OioException]


NOT_DONE = {
    "500": Doubt(refusal(500, 500), exc.ClientException),
    "503": Doubt(refusal(503, 503), exc.ServiceBusy),
    "503 without a body": Doubt(trouble("status", status=503), exc.ServiceBusy),
    "502 of a gateway": Doubt(page(502), exc.ClientException),
    "504 of a gateway": Doubt(page(504), exc.ClientException),
    "200 of a gateway": Doubt(page(200), exc.OioProtocolError),
    "timeout": Doubt(trouble("stall", phase="head"), exc.OioTimeout),
    "end of the connection": Doubt(trouble("truncate", phase="head"), exc.OioNetworkException),
    "reset": Doubt(trouble("reset", phase="head"), exc.OioNetworkException),
}

DONE = {
    "timeout": trouble("commit-then-timeout"),
    "reset": trouble("commit-then-reset"),
    "truncated head": trouble("truncate", phase="head", after_bytes=8),
    "stalled head": trouble("stall", phase="head", after_bytes=8),
    "broken status": trouble("corrupt", phase="head", after_bytes=9),
    "broken protocol": trouble("corrupt", phase="head", after_bytes=0),
}

QUICK = {"read_timeout": 1.0}
