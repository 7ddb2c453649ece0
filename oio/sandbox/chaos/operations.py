# SPDX-License-Identifier: Apache-2.0
"""Operations of one thread: calls of the facade, each checked against the model."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from oio.common import exceptions as exc
from oio.sandbox.chaos.model import ABSENT, Key, Piece, State, described
from oio.sandbox.chaos.reads import ACCOUNT, OWN_NAMES, SHARED, SHARED_NAMES, Reads, World
from oio.sandbox.chaos.report import LOST, WRONG, Finding

_MOST_VERSIONS: Final = 40
_MOST_SNAPSHOTS: Final = 2
#: Status of a container that is enabled already.
_ENABLED: Final = 439

#: How often each operation is chosen.
WEIGHTS: Final = {
    "create": 18,
    "append": 6,
    "truncate": 5,
    "fetch": 22,
    "fetch_ranges": 12,
    "fetch_strict": 6,
    "list_objects": 5,
    "list_versions": 3,
    "containers": 1,
    "get_properties": 6,
    "set_properties": 5,
    "head": 3,
    "link": 4,
    "snapshot": 1,
    "drop_snapshot": 1,
    "change_policy": 3,
    "delete": 5,
    "delete_many": 2,
    "flush": 1,
    "create_version": 5,
    "fetch_version": 5,
    "delete_version": 3,
    "create_shared": 7,
    "delete_shared": 2,
}


class Operations(Reads):
    """Operations of one thread.

    :param world: what all threads share.
    :param number: of the thread.
    :param rng: its choices.
    """

    def __init__(self, world: World, number: int, rng: random.Random) -> None:
        super().__init__(world, number, rng)
        self._pieces = itertools.count()
        self._snapshots: list[str] = []
        self._snapshot_numbers = itertools.count()
        self._frozen = False
        #: Name of the operation that was really run.
        self.ran = ""

    def choose(self) -> str:
        """Choose the next operation."""
        return self._rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]

    def run(self, operation: str) -> None:
        """Run one operation.

        :raises OioException: it failed, as it may while something goes wrong.
        :raises Finding: something is wrong.
        """
        self.ran = operation
        if self._frozen:
            self._enable()
        getattr(self, operation)()

    def _instead(self, operation: str) -> None:
        """Run another operation, because no object suits the chosen one."""
        self.ran = operation
        getattr(self, operation)()

    # -- writing

    def create(self) -> None:
        """Create or overwrite an object of its own."""
        key = self._quiet_key()
        if key is None:
            return self._instead("fetch")
        return self._create(key)

    def create_shared(self) -> None:
        """Create or overwrite an object that other threads overwrite too."""
        self._create(Key(SHARED, self._rng.choice(SHARED_NAMES)))

    def _create(self, key: Key) -> None:
        piece, properties = self._piece(), self._properties()
        with self._changing({key: [State((piece,), frozenset(properties.items()))]}):
            _, size, checksum = self._upload(key, piece, properties=properties)
            self._check_upload(key, piece, size, checksum)

    def append(self) -> None:
        """Append to an object of its own, which is made if there is none."""
        key = self._exact_key()
        if key is None:
            return self._instead("fetch")
        piece = self._piece()
        with self._about(key), self._changing({key: [s.appended(piece) for s in self._book.possible(key)]}):
            _, size, checksum = self._upload(key, piece, append=True)
            self._check_upload(key, piece, size, checksum)
        return None

    def truncate(self) -> None:
        """Truncate an object of its own."""
        key = self._existing_key()
        if key is None:
            return self._instead("fetch")
        # The same for each state: they differ by their properties, or by an append.
        states = self._book.possible(key)
        size = self._rng.randint(0, min(state.size for state in states))
        passing = {key: [replace(state, shortest=size) for state in states]}
        with self._about(key), self._changing({key: [s.cut(size) for s in states]}, passing, atomic=False):
            self._api.object_truncate(ACCOUNT, *key[:2], size=size, **self._limits())
        return None

    def change_policy(self) -> None:
        """Store an object of its own with another policy."""
        key = self._existing_key()
        if key is None:
            return self._instead("fetch")
        # Its bytes stay; where they are does not.
        with self._about(key), self._changing({key: self._book.possible(key)}):
            try:
                self._api.object_change_policy(ACCOUNT, *key[:2], self._policy(), **self._limits())
            except exc.Conflict as err:
                # It has this policy already.
                if err.status is not None:
                    raise
        return None

    def set_properties(self) -> None:
        """Set properties of an object of its own."""
        key = self._existing_key()
        if key is None:
            return self._instead("get_properties")
        properties, clear = self._properties() or {"color": "none"}, self._rng.random() < 0.5
        wanted = []
        for state in self._book.possible(key):
            before = {} if clear else dict(state.properties)
            wanted.append(replace(state, properties=frozenset((before | properties).items())))
        with self._about(key), self._changing({key: wanted}):
            self._api.object_set_properties(ACCOUNT, *key[:2], properties, clear=clear, **self._limits())
        return None

    def link(self) -> None:
        """Link an object of its own to another name of its own."""
        target, link = self._existing_key(), self._quiet_key()
        if target is None or link is None or link == target:
            return self._instead("fetch")
        with self._about(target), self._changing({link: self._book.possible(target)}):
            self._api.object_link(ACCOUNT, *target[:2], ACCOUNT, *link[:2], **self._limits())
        return None

    # -- removing

    def delete(self) -> None:
        """Delete an object of its own."""
        key = self._quiet_key()
        if key is None:
            return self._instead("fetch")
        return self._delete(key)

    def delete_shared(self) -> None:
        """Delete an object that other threads change, too."""
        self._delete(Key(SHARED, self._rng.choice(SHARED_NAMES)))

    def _delete(self, key: Key) -> None:
        start = self._world.clock()
        with self._changing({key: [ABSENT]}) as change:
            try:
                self._api.object_delete(ACCOUNT, *key[:2], version=key.version or None, **self._limits())
            except exc.NoSuchObject as err:
                states = change.others(key, start)
                if all(state.exists for state in states):
                    raise Finding(LOST, f"{key} to delete: {err}; expected {described(states)}") from err

    def delete_many(self) -> None:
        """Delete some objects of its own by one call."""
        keys = [key for key in self._own_keys() if self._book.is_quiet(key)]
        if not keys:
            return self._instead("list_objects")
        keys = self._rng.sample(keys, min(len(keys), self._rng.randint(1, 4)))
        names = [key.name for key in keys]
        with self._changing({key: [ABSENT] for key in keys}, atomic=False) as change:
            results = self._api.object_delete_many(ACCOUNT, self._own, names, **self._limits())
            if [name for name, _ in results] != names:
                raise Finding(WRONG, f"deleted {names}, but the answer is about {results}")
            for key, (_, deleted) in zip(keys, results, strict=True):
                if deleted:
                    change.done(key)
                else:
                    # There was none, or it could not be deleted.
                    change.unknown(key)
        return None

    def flush(self) -> None:
        """Delete all objects of one of its containers."""
        container = self._rng.choice((self._own, self._versioned))
        keys = self._book.keys(container)
        if not all(map(self._book.is_quiet, keys)):
            return self._instead("list_objects")
        with self._changing({key: [ABSENT] for key in keys}, atomic=False):
            self._api.container_flush(ACCOUNT, container, fast=self._rng.random() < 0.5, **self._limits())
        return None

    # -- snapshots

    def snapshot(self) -> None:
        """Take a snapshot of its container."""
        keys = self._book.keys(self._own)
        if len(self._snapshots) >= _MOST_SNAPSHOTS or not all(map(self._book.is_quiet, keys)):
            return self._instead("drop_snapshot")
        name = f"snapshot-{self._number}-{next(self._snapshot_numbers)}"
        states = {Key(name, key.name): self._book.possible(key) for key in keys}
        try:
            self._api.container_snapshot(ACCOUNT, self._own, ACCOUNT, name, **self._limits())
        except exc.OioException:
            self._world.doubts.add(name)
            self._frozen = True
            # A half-made snapshot must be deleted as a whole.
            with contextlib.suppress(exc.OioException):
                self._api.container_delete(ACCOUNT, name, force=True, **self._limits())
            raise
        with self._book.change(states):
            self._snapshots.append(name)
        return None

    def _enable(self) -> None:
        """Enable its container, which a failed snapshot may have left frozen."""
        try:
            self._api.container.container_enable(ACCOUNT, self._own, **self._limits())
        except exc.ClientException as err:
            if err.status != _ENABLED:
                raise
        self._frozen = False

    def drop_snapshot(self) -> None:
        """Delete its oldest snapshot."""
        if not self._snapshots:
            return self._instead("list_objects")
        name = self._snapshots.pop(0)
        self._world.doubts.add(name)
        with self._changing({key: [ABSENT] for key in self._book.keys(name)}, atomic=False):
            self._api.container_flush(ACCOUNT, name, fast=True, **self._limits())
            self._api.container_delete(ACCOUNT, name, **self._limits())
        return None

    # -- versions

    def create_version(self) -> None:
        """Create a version of an object."""
        if len(self._versions()) > _MOST_VERSIONS:
            return self._instead("delete_version")
        name, piece, properties = self._rng.choice(OWN_NAMES[:3]), self._piece(), self._properties()
        try:
            *_, meta = self._api.object_create_ext(
                ACCOUNT,
                self._versioned,
                data=piece.data(),
                obj_name=name,
                properties=properties,
                policy=self._policy(),
                **self._checksums(),
                **self._limits(),
            )
        except exc.OioException:
            self._world.doubts.add(self._versioned, name)
            raise
        key = Key(self._versioned, name, str(meta["version"]))
        with self._book.change({key: [State((piece,), frozenset(properties.items()))]}):
            return None

    def fetch_version(self) -> None:
        """Read one version of an object."""
        keys = self._versions()
        return self._read(self._rng.choice(keys)) if keys else self._instead("create_version")

    def delete_version(self) -> None:
        """Delete one version of an object."""
        keys = self._versions()
        return self._delete(self._rng.choice(keys)) if keys else self._instead("list_versions")

    def _versions(self) -> list[Key]:
        """Return the versions of its own that may be there."""
        keys = self._book.keys(self._versioned)
        return [key for key in keys if any(state.exists for state in self._book.possible(key))]

    # -- checks

    @contextlib.contextmanager
    def _changing(
        self,
        wanted: Mapping[Key, Iterable[State]],
        passing: Mapping[Key, Iterable[State]] | None = None,
        *,
        atomic: bool = True,
    ) -> Iterator[Any]:
        """Change objects.

        :param atomic: whether a refusal is certain to leave them as they were.
        """
        with self._book.change(wanted, passing) as change:
            try:
                yield change
            except exc.OioException as err:
                if atomic and _is_refusal(err):
                    change.refused()
                else:
                    for key in wanted:
                        self._world.doubts.add(key.container, key.name)
                raise

    def _check_upload(self, key: Key, piece: Piece, size: int, checksum: str) -> None:
        expected = hashlib.md5(piece.data(), usedforsecurity=False).hexdigest()
        if (size, checksum.lower()) != (piece.length, expected):
            raise Finding(
                WRONG, f"{key}: stored {size} bytes, {checksum}; expected {piece.length}, {expected}"
            )

    # -- choices

    def _pick(self, fits: Callable[[list[State]], bool]) -> Key | None:
        """Choose an object of its own without pending changes, and with fitting states."""
        keys = [
            key for key in self._own_keys() if self._book.is_quiet(key) and fits(self._book.possible(key))
        ]
        return self._rng.choice(keys) if keys else None

    def _quiet_key(self) -> Key | None:
        return self._pick(bool)

    def _exact_key(self) -> Key | None:
        return self._pick(lambda states: all(state.shortest is None for state in states))

    def _existing_key(self) -> Key | None:
        return self._pick(lambda states: all(state.exists and state.shortest is None for state in states))

    def _policy(self) -> str:
        return self._rng.choice(self._world.policies)

    def _checksums(self) -> dict[str, str]:
        """Choose the checksums of new chunks: the usual ones, or the others where services know them."""
        if not self._world.release.chunk_hashes or self._rng.random() < 0.5:
            return {}
        return {"chunk_checksum_algo": "blake3"}

    def _properties(self) -> dict[str, str]:
        # Answers about chunks hide what has the name of a field, and a cache is filled by them.
        third = "shade" if self._world.has_cache else "size"
        names = self._rng.sample(("color", third, "Ünïcode"), self._rng.randint(0, 3))
        return {name: f"v{self._rng.randrange(1000)}" for name in names}

    def _piece(self) -> Piece:
        size, most = self._world.chunk_size, self._rng.choice((2_000, *[self._world.chunk_size] * 2))
        most *= self._rng.choice((1, 1, 6, 14))
        length = self._rng.choice((0, 1, size, size + 1, *[self._rng.randint(1, most)] * 6))
        return Piece(f"{self._number}/{next(self._pieces)}", length)

    def _upload(self, key: Key, piece: Piece, **options: Any) -> Any:
        more = {"policy": self._policy(), **self._checksums(), **options, **self._limits()}
        return self._world.ways.store(self._rng, (ACCOUNT, *key[:2]), piece.data(), **more)


def _is_refusal(err: exc.OioException) -> bool:
    """Tell whether a change of one request is certain to have changed nothing."""
    if isinstance(err, exc.ClientException):
        return 400 <= int(err.http_status) < 500
    return isinstance(err, (exc.NoSuchObject, exc.NoSuchContainer))
