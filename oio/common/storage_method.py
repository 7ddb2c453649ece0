# SPDX-License-Identifier: Apache-2.0
"""Chunk methods: how the data of an object are spread over chunks.

A chunk method is text such as ``plain/nb_copy=3`` or ``ec/algo=liberasurecode_rs_vand,k=6,m=3``.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from oio.common.exceptions import InvalidStorageMethod

if TYPE_CHECKING:
    from pyeclib.ec_iface import ECDriverError  # noqa: F401 - published name
else:

    def __getattr__(name):
        # A published name; the library behind it is loaded by the first object that needs it, and not before.
        if name != "ECDriverError":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from pyeclib.ec_iface import ECDriverError

        return ECDriverError


EC_SEGMENT_SIZE = 1048576
"""Bytes that are encoded at once."""

DRAINED = "drained"
"""Chunk method of an object whose chunks were removed: there is nothing to read or write."""


def parse_chunk_method(chunk_method: str) -> tuple[str, dict[str, str]]:
    """Split a chunk method in its type and its parameters.

    >>> parse_chunk_method("ec/algo=isa_l_rs_vand,k=6, m=3,cold")
    ('ec', {'algo': 'isa_l_rs_vand', 'k': '6', 'm': '3', 'cold': '1'})
    """
    type_, _, text = chunk_method.partition("/")
    params = {}
    for param in filter(None, map(str.strip, text.split(","))):
        key, has_value, value = param.partition("=")
        params[key] = value if has_value else "1"
    return type_, params


@functools.lru_cache(maxsize=128)
def written_chunk_method(prepared: str, algorithm: str | None, of_object: str = "md5") -> str:
    """Chunk method to write data with: the prepared one, with the checksums that are really computed.

    One that names no checksum means MD5, to all services.

    :param prepared: as the services have proposed it
    :param algorithm: of the checksums of the chunks; None leaves them to the chunk servers
    :param of_object: algorithm of the checksum of the object

    >>> written_chunk_method("plain/nb_copy=3", "blake3"), written_chunk_method("plain/nb_copy=3", "md5")
    ('plain/cca=blake3,nb_copy=3,oca=md5', 'plain/nb_copy=3')
    """
    type_, params = parse_chunk_method(prepared)
    if algorithm is None or type_ == "backblaze":
        return prepared
    by_default = algorithm == of_object == "md5"
    if by_default and all(params.get(key) in {None, "", "md5"} for key in ("cca", "oca")):
        return prepared
    others = (item.strip() for item in prepared.partition("/")[2].split(","))
    kept = [item for item in others if item and item.partition("=")[0] not in {"cca", "oca"}]
    if not by_default:
        kept += [f"cca={algorithm}", f"oca={of_object}"]
    # As other clients write it: in alphabetical order, without blanks.
    return f"{type_}/" + ",".join(sorted(kept))


def guess_storage_method(url: str) -> str:
    """Guess the type of chunk method from the URL of a chunk.

    >>> guess_storage_method("b2/0A1B"), guess_storage_method("http://127.0.0.1:6010/0A1B")
    ('backblaze', 'plain')
    """
    if url.startswith(("b2", "backblaze")):
        return "backblaze"
    if url.startswith("kine"):
        return "kplain"
    return "plain"


class StorageMethod:
    """Chunk method that was read, of any type.

    :param name: name of the family of methods.
    :param ec: the data are erasure-coded.
    :param backblaze: the data go to Backblaze B2.
    """

    type: str
    """Type of the chunk method that was loaded."""
    params: Mapping[str, str]
    """Its parameters, unknown ones too."""
    quorum: int
    """How many chunks of a metachunk must be written for the upload to succeed."""
    expected_chunks: int
    """How many chunks a metachunk is made of."""
    min_chunks_to_read: int
    """How many chunks of a metachunk are enough to read it."""

    def __init__(self, name: str, ec: bool = False, backblaze: bool = False) -> None:
        self.name = name
        self.ec = ec
        self.backblaze = backblaze
        self.type = name
        self.params = {}

    @classmethod
    def build(cls, params: Mapping[str, str]) -> StorageMethod:
        """Make the method from the parameters of its chunk method."""
        raise InvalidStorageMethod(f"{cls.__name__} cannot be made from parameters {dict(params)!r}")


class ReplicatedStorageMethod(StorageMethod):
    """Each chunk of a metachunk holds all its data.

    :param nb_copy: number of chunks of a metachunk.
    """

    def __init__(self, name: str, nb_copy: int) -> None:
        super().__init__(name)
        self.nb_copy = nb_copy
        self.expected_chunks = nb_copy
        self.quorum = (nb_copy + 1) // 2
        self.min_chunks_to_read = 1

    @classmethod
    def build(cls, params: Mapping[str, str]) -> ReplicatedStorageMethod:
        """Make the method from parameter ``nb_copy``, 1 by default."""
        return cls("repli", _positive_int(params, "nb_copy", "1"))


class ECStorageMethod(StorageMethod):
    """The data of a metachunk are cut in segments, and each one encoded in as many fragments as chunks.

    :param ec_segment_size: bytes that are encoded at once.
    :param ec_type: name of the algorithm.
    :param ec_nb_data: number of fragments that hold the data.
    :param ec_nb_parity: number of fragments that can be lost.
    :raises InvalidStorageMethod: the erasure coding library is not there, or refuses these values.
    """

    def __init__(
        self, name: str, ec_segment_size: int, ec_type: str, ec_nb_data: int, ec_nb_parity: int
    ) -> None:
        super().__init__(name, ec=True)
        self.ec_segment_size = ec_segment_size
        self.ec_type = ec_type
        self.ec_nb_data = ec_nb_data
        self.ec_nb_parity = ec_nb_parity
        self.driver = _new_ec_driver(ec_type, ec_nb_data, ec_nb_parity, "inline_crc32")
        self.expected_chunks = ec_nb_data + ec_nb_parity
        self.min_chunks_to_read = ec_nb_data
        self.quorum = ec_nb_data + self.driver.min_parity_fragments_needed()

    @functools.cached_property
    def unchecked_driver(self) -> Any:
        """Driver that makes fragments without checksums, as other clients do: to rebuild theirs."""
        return _new_ec_driver(self.ec_type, self.ec_nb_data, self.ec_nb_parity, "none")

    @property
    def ec_fragment_size(self) -> int:
        """Bytes of a fragment of a whole segment, its header included."""
        info = self.driver.get_segment_info(self.ec_segment_size, self.ec_segment_size)
        return int(info["fragment_size"])

    @classmethod
    def build(cls, params: Mapping[str, str]) -> ECStorageMethod:
        """Make the method from parameters ``algo``, ``k`` and ``m``."""
        return cls(
            "ec",
            EC_SEGMENT_SIZE,
            _mandatory(params, "algo"),
            _positive_int(params, "k"),
            _positive_int(params, "m"),
        )


class BackblazeStorageMethod(StorageMethod):
    """The data go to a bucket of Backblaze B2.

    :param account_id: account of Backblaze.
    :param bucket_name: bucket of that account.
    """

    def __init__(self, name: str, account_id: str, bucket_name: str) -> None:
        super().__init__(name, backblaze=True)
        self.account_id = account_id
        self.bucket_name = bucket_name
        # Backblaze takes care of its copies itself.
        self.expected_chunks = self.quorum = self.min_chunks_to_read = 1

    @classmethod
    def build(cls, params: Mapping[str, str]) -> BackblazeStorageMethod:
        """Make the method from parameters ``account_id`` and ``bucket_name``."""
        return cls("backblaze", _mandatory(params, "account_id"), _mandatory(params, "bucket_name"))


def _mandatory(params: Mapping[str, str], key: str, default: str | None = None) -> str:
    value = params.get(key, default)
    if not value:
        raise InvalidStorageMethod(f"parameter {key!r} is missing")
    return value


def _positive_int(params: Mapping[str, str], key: str, default: str | None = None) -> int:
    text = _mandatory(params, key, default)
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise InvalidStorageMethod(f"parameter {key!r} is {text!r}, not a positive integer")
    return value


@contextlib.contextmanager
def _deprecation_accepted(ec_type: str) -> Iterator[None]:
    """Silence PyECLib's advice to leave a backend: readers do not choose the backend of an object.

    The filters of warnings are the host's, and shared by its threads: no other backend touches them.
    """
    if not ec_type.startswith("jerasure"):
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _new_ec_driver(ec_type: str, ec_nb_data: int, ec_nb_parity: int, checksum: str) -> Any:
    # Imported here, for programs that use no such policy (pitfall 83).
    try:
        from pyeclib.ec_iface import ALL_EC_TYPES, ECDriver, ECDriverError, check_backend_available
    except ImportError as err:
        text = f"erasure coding needs PyECLib, which 'pip install pyeclib' brings: {err}"
        raise InvalidStorageMethod(text) from err
    if ec_type in ALL_EC_TYPES and not check_backend_available(ec_type):
        # The driver would say so in the syslog of the host.
        raise InvalidStorageMethod(f"algorithm {ec_type!r} is not available: its library is not installed")
    try:
        with _deprecation_accepted(ec_type):
            return ECDriver(k=ec_nb_data, m=ec_nb_parity, ec_type=ec_type, chksum_type=checksum)
    except ECDriverError as err:
        raise InvalidStorageMethod(f"algorithm {ec_type!r} is not available: {err}") from err


class StorageMethods(dict[str, StorageMethod]):
    """Registry of the chunk methods: those that were loaded; others are loaded when they are looked up.

    :param classes: class of each type of chunk method.
    """

    def __init__(self, classes: Mapping[str, type[StorageMethod]]) -> None:
        super().__init__()
        self._classes = dict(classes)

    def load(self, chunk_method: str, **_kwargs: Any) -> StorageMethod:
        """Get the storage method of a chunk method, always the same one for the same text.

        :raises InvalidStorageMethod: the type is unknown, or a parameter is missing or wrong.

        >>> STORAGE_METHODS.load("plain/nb_copy=3").quorum
        2
        """
        return self[chunk_method]

    def __missing__(self, chunk_method: str) -> StorageMethod:
        type_, params = parse_chunk_method(chunk_method)
        cls = self._classes.get(type_)
        if cls is None:
            raise InvalidStorageMethod(f"chunk method {chunk_method!r}: unknown type {type_!r}")
        try:
            method = cls.build(params)
        except InvalidStorageMethod as err:
            raise InvalidStorageMethod(f"chunk method {chunk_method!r}: {err}") from err
        method.type = type_
        method.params = params
        # Two threads may get here: both must leave with the same method.
        return self.setdefault(chunk_method, method)

    def forget(self) -> None:
        """Forget the methods that were loaded, and so their drivers."""
        self.clear()


STORAGE_METHODS = StorageMethods(
    {
        "plain": ReplicatedStorageMethod,
        "ec": ECStorageMethod,
        "backblaze": BackblazeStorageMethod,
    }
)


def load_methods() -> StorageMethods:
    """Start afresh: get the registry, without the methods loaded so far."""
    STORAGE_METHODS.forget()
    return STORAGE_METHODS
