# SPDX-License-Identifier: Apache-2.0
"""Account of Backblaze B2: its authorisation, which threads share, and the calls made with it."""

from __future__ import annotations

import base64
import copy
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from oio.b2.errors import BackblazeException, Secret, check_secrecy, is_transient
from oio.b2.retry import Attempts, Backoff, repeat_transient
from oio.b2.session import B2Limits, B2Session, JsonObject
from oio.common import exceptions as exc
from oio.common import green
from oio.common.answers import reading_answer
from oio.common.json import json as jsonlib

API_PREFIX = "/b2api/v1/"
_AUTHORIZE = "b2_authorize_account"
_RENEWALS = 2
"""Tokens that one call asks for after the first, before a refusal of its token is final."""
_POLL = 0.01
"""Seconds between two looks at the authorisation that another thread asks for."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Grant:
    """Authorisation, valid for a day at most.

    :param account_id: ID of the account; that of the key may differ
    :param api_url: of the JSON operations; both URLs may change with each authorisation
    """

    account_id: str
    token: Secret
    api_url: str
    download_url: str

    @classmethod
    def of(cls, answer: JsonObject) -> Grant:
        """Read an answer of the service.

        :raises OioProtocolError: a field is missing, or a URL is not secure
        """
        with reading_answer():
            # A program may bring an answer of API version 3 or 4, which nests the URLs.
            urls = answer if "apiUrl" in answer else answer["apiInfo"]["storageApi"]
            return cls(
                str(answer["accountId"]),
                Secret(answer["authorizationToken"]),
                check_secrecy(str(urls["apiUrl"])).rstrip("/"),
                check_secrecy(str(urls["downloadUrl"])).rstrip("/"),
            )


class _Pending:
    """Authorisation under way: one thread asks, the others wait for its answer."""

    def __init__(self, deadline: float | None) -> None:
        self.pid = os.getpid()
        self.deadline = float("inf") if deadline is None else deadline
        self.done = False
        self.error: exc.OioException | None = None

    def concerns(self, deadline: float | None) -> bool:
        """Whether its failure also holds for a thread that has waited for it, with this deadline."""
        more_time = self.deadline < (float("inf") if deadline is None else deadline)
        return not (more_time and self.error is not None and is_transient(self.error))


class Account:
    """Account that a key gives access to.

    While one OS thread or green thread asks for an authorisation, the others wait for it. A thread whose
    token is refused takes the token that another one has got meanwhile, if there is one.

    :param account_id: ID of the account, or of an application key
    :param api_url: where to authorise
    :param answer: an earlier authorisation, to start with
    """

    def __init__(
        self,
        account_id: str,
        application_key: str,
        session: B2Session,
        api_url: str,
        backoff: Backoff,
        answer: JsonObject | None = None,
    ) -> None:
        self.session = session
        self.backoff = backoff
        self._api_url = api_url.rstrip("/")
        credentials = f"{account_id}:{application_key}".encode()
        self._basic = Secret("Basic " + base64.b64encode(credentials).decode("ascii"))
        self._grant = Grant.of(answer) if answer else None
        self._pending: _Pending | None = None
        # Held for an instant only, and never over a switch of green threads.
        self._lock = green.Lock()

    def grant(self, limits: B2Limits) -> Grant:
        """The current authorisation, asked for when there is none."""
        return self._grant or self.renew(None, limits)

    def renew(self, failed: Grant | None, limits: B2Limits) -> Grant:
        """Get another authorisation than the one that failed.

        :raises BackblazeException: the key is refused
        :raises OioNetworkException: the service cannot be reached
        """
        while True:
            with self._lock:
                if self._grant is not None and self._grant is not failed:
                    return self._grant
                pending, is_ours = self._pending, False
                # After a fork, no thread of this process will finish the parent's.
                if pending is None or pending.pid != os.getpid():
                    pending, is_ours = _Pending(limits.deadline), True
                    self._pending = pending
            if is_ours:
                return self._ask(pending, limits)
            self._wait(pending, limits)

    def _ask(self, pending: _Pending, limits: B2Limits) -> Grant:
        grant = None
        try:
            grant = self._authorize(limits)
        except (BackblazeException, exc.OioNetworkException) as err:
            pending.error = err
            raise
        finally:
            with self._lock:
                self._grant = grant or self._grant
                self._pending = None
            pending.done = True
        return grant

    @staticmethod
    def _wait(pending: _Pending, limits: B2Limits) -> None:
        """Wait for the authorisation that another thread asks for, and share its failure.

        In an outage, each waiting thread would otherwise try for as long as the first one.
        """
        while not pending.done:
            # No event can wake green threads of several OS threads.
            green.sleep(limits.within(_POLL, _AUTHORIZE))
        if pending.error is not None and pending.concerns(limits.deadline):
            raise copy.copy(pending.error) from pending.error

    def _authorize(self, limits: B2Limits) -> Grant:
        attempts = Attempts(self.backoff, limits)
        headers = {"Authorization": self._basic}
        while True:
            try:
                url = self._api_url + API_PREFIX + _AUTHORIZE
                return Grant.of(self.session.ask_json("GET", url, headers, None, limits, _AUTHORIZE))
            except (BackblazeException, exc.OioNetworkException) as err:
                repeat_transient(attempts, err, _AUTHORIZE)

    def run(self, what: str, send: Callable[[Grant], _T], limits: B2Limits, *, repeat: bool = True) -> _T:
        """Send a request that needs the authorisation, and send it again with a new one if that has expired.

        :param what: name of the operation, for logs and exceptions
        :param send: sends the request, given the authorisation
        :param repeat: False for a request that is not repeated after a failure that may pass
        :raises BackblazeException: refused; ``repeated`` tells that an earlier attempt may have succeeded
        """
        attempts = Attempts(self.backoff, limits)
        renewals, repeated = _RENEWALS, False
        grant = self._grant or self.renew(None, limits)
        while True:
            try:
                return send(grant)
            except (BackblazeException, exc.OioNetworkException) as err:
                if isinstance(err, BackblazeException):
                    err.repeated = repeated
                    if err.is_stale_token and renewals:
                        renewals -= 1
                        grant = self.renew(grant, limits)
                        continue
                if not repeat:
                    raise
                repeat_transient(attempts, err, what)
                repeated = True

    def call(
        self, operation: str, body: Mapping[str, object], limits: B2Limits, *, repeat: bool = True
    ) -> JsonObject:
        """Call a JSON operation, see :meth:`run`."""

        def send(grant: Grant) -> JsonObject:
            headers = {"Authorization": grant.token, "Content-Type": "application/json"}
            url = grant.api_url + API_PREFIX + operation
            # The ID that the program has given may be that of a key.
            known = {name: grant.account_id if name == "accountId" else value for name, value in body.items()}
            raw = jsonlib.dumps(known).encode("utf-8")
            return self.session.ask_json("POST", url, headers, raw, limits, operation)

        return self.run(operation, send, limits, repeat=repeat)
