# SPDX-License-Identifier: Apache-2.0
"""One account of Backblaze B2: its authorisation, which threads share, and calls that are made with it."""

from __future__ import annotations

import base64
import copy
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from oio.b2.errors import BackblazeException, Secret, is_transient
from oio.b2.retry import Attempts, Backoff, repeat_transient
from oio.b2.session import B2Session, Limits
from oio.common import exceptions as exc
from oio.common import green
from oio.common.answers import reading_answer
from oio.common.json import json as jsonlib

API_PREFIX = "/b2api/v1/"
_AUTHORIZE = "b2_authorize_account"
_RENEWALS = 2
"""How often one call asks for another token before it takes the refusal of its token as final."""
_POLL = 0.01

_T = TypeVar("_T")


@dataclass(frozen=True)
class Grant:
    """What an authorisation gives, for a day at most.

    :param account_id: may be another than that of the key
    :param api_url: of the JSON operations; this one and the next may change with each authorisation
    :param answer: of the service, whole
    """

    account_id: str
    token: Secret
    api_url: str
    download_url: str
    answer: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Grant:
        """Read an answer.

        :raises OioProtocolError: it lacks something
        """
        with reading_answer():
            # Versions 3 and 4, of which somebody may have an answer, put the URLs elsewhere.
            urls = answer if "apiUrl" in answer else answer["apiInfo"]["storageApi"]
            return cls(
                str(answer["accountId"]),
                Secret(answer["authorizationToken"]),
                str(urls["apiUrl"]).rstrip("/"),
                str(urls["downloadUrl"]).rstrip("/"),
                {**answer, "authorizationToken": Secret(answer["authorizationToken"])},
            )


class _Flight:
    """An authorisation under way: one thread asks, the others wait for what it gets."""

    def __init__(self, deadline: float | None) -> None:
        self.pid = os.getpid()
        self.deadline = float("inf") if deadline is None else deadline
        self.done = False
        self.error: exc.OioException | None = None

    def concerns(self, deadline: float | None) -> bool:
        """Whether its failure is also that of a thread which has waited for it, and has this deadline."""
        more_time = self.deadline < (float("inf") if deadline is None else deadline)
        return not (more_time and self.error is not None and is_transient(self.error))


class Account:
    """An account, known by a key.

    Neither OS threads nor green threads ask twice for the authorisation that one of them is asking for;
    a refusal of a token that was replaced meanwhile takes nothing from the others.

    :param account_id: or the ID of an application key
    :param api_url: where to ask
    :param answer: an earlier authorisation, to begin with
    """

    def __init__(
        self,
        account_id: str,
        application_key: str,
        session: B2Session,
        api_url: str,
        backoff: Backoff,
        answer: Mapping[str, Any] | None = None,
    ) -> None:
        self.session = session
        self.backoff = backoff
        self._api_url = api_url.rstrip("/")
        credentials = f"{account_id}:{application_key}".encode()
        self._basic = Secret("Basic " + base64.b64encode(credentials).decode("ascii"))
        self._grant = Grant.of(answer) if answer else None
        self._flight: _Flight | None = None
        # Held for an instant only, and never over a switch of green threads.
        self._lock = threading.Lock()

    def grant(self, limits: Limits) -> Grant:
        """The current authorisation."""
        return self._grant or self.renew(None, limits)

    def renew(self, failed: Grant | None, limits: Limits) -> Grant:
        """Get another authorisation than the one that failed.

        :raises BackblazeException: the key is refused
        :raises OioNetworkException: the service cannot be reached
        """
        while True:
            with self._lock:
                if self._grant is not None and self._grant is not failed:
                    return self._grant
                flight, pilot = self._flight, False
                # After a fork, nobody is left to finish that of the parent.
                if flight is None or flight.pid != os.getpid():
                    flight, pilot = _Flight(limits.deadline), True
                    self._flight = flight
            if pilot:
                return self._fly(flight, limits)
            self._wait(flight, limits)

    def _fly(self, flight: _Flight, limits: Limits) -> Grant:
        grant = None
        try:
            grant = self._authorize(limits)
        except (BackblazeException, exc.OioNetworkException) as err:
            flight.error = err
            raise
        finally:
            with self._lock:
                self._grant = grant or self._grant
                self._flight = None
            flight.done = True
        return grant

    @staticmethod
    def _wait(flight: _Flight, limits: Limits) -> None:
        """Wait for an authorisation; in an outage, those who have waited do not all try in their turn."""
        green.adopt_thread()
        while not flight.done:
            # Nothing wakes up green threads of several OS threads at once.
            green.sleep(limits.within(_POLL, _AUTHORIZE))
        if flight.error is not None and flight.concerns(limits.deadline):
            raise copy.copy(flight.error) from flight.error

    def _authorize(self, limits: Limits) -> Grant:
        attempts = Attempts(self.backoff, limits.deadline)
        headers = {"Authorization": self._basic}
        while True:
            try:
                url = self._api_url + API_PREFIX + _AUTHORIZE
                return Grant.of(self.session.ask_json("GET", url, headers, None, limits, _AUTHORIZE))
            except (BackblazeException, exc.OioNetworkException) as err:
                repeat_transient(attempts, err, _AUTHORIZE)

    def run(self, what: str, send: Callable[[Grant], _T], limits: Limits, *, repeat: bool = True) -> _T:
        """Do what needs the authorisation; with another one, if it has ended.

        :param send: sends one request with the authorisation that it is given
        :param repeat: unless cleared, repeat after failures that may pass
        :raises BackblazeException: refused; ``repeated`` tells that an earlier attempt may have been done
        """
        attempts = Attempts(self.backoff, limits.deadline)
        renewals, repeated = _RENEWALS, False
        grant = self.grant(limits)
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
        self, operation: str, body: Mapping[str, Any], limits: Limits, *, repeat: bool = True
    ) -> dict[str, Any]:
        """Call a JSON operation, see :meth:`run`."""

        def send(grant: Grant) -> dict[str, Any]:
            headers = {"Authorization": grant.token, "Content-Type": "application/json"}
            url = grant.api_url + API_PREFIX + operation
            # The ID that the service goes by is known from the authorisation only.
            known = {name: grant.account_id if name == "accountId" else value for name, value in body.items()}
            raw = jsonlib.dumps(known).encode("utf-8")
            return self.session.ask_json("POST", url, headers, raw, limits, operation)

        return self.run(operation, send, limits, repeat=repeat)
