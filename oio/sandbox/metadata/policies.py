# SPDX-License-Identifier: Apache-2.0
"""Storage policies, data securities and service pools of a namespace."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Final

from oio.sandbox.refusals import NO_SUCH_POLICY, Refusal

#: Kinds of data security that a namespace without a B2 bucket lists, but refuses for new objects.
REFUSED_KINDS: Final[frozenset[str]] = frozenset({"backblaze"})

DATA_SECURITY: Final = {
    "DUPONETWO": "plain/min_dist=1,nb_copy=2",
    "DUP17": "plain/min_dist=1,nb_copy=17",
    "EC21": "ec/k=2,m=1,algo=liberasurecode_rs_vand,min_dist=1,warn_dist=0",
    "DUPONETHREE": "plain/max_dist=2,min_dist=1,nb_copy=3",
    "ECX21": "ec/k=2,m=1,algo=liberasurecode_rs_vand,min_dist=0,max_dist=2,warn_dist=0",
    "EC": "ec/k=6,m=3,algo=liberasurecode_rs_vand,min_dist=1",
    "ECISAL63": "ec/k=6,m=3,algo=isa_l_rs_vand,min_dist=1",
    "BACKBLAZE": "backblaze/account_id=None,bucket_name=None,min_dist=0,nb_copy=1",
}

#: Name of the policy: "service pool:data security".
STORAGE_POLICY: Final = {
    "17COPIES": "rawx17:DUP17",
    "TWOCOPIES": "rawx2:DUPONETWO",
    "SINGLE": "NONE:NONE",
    "THREECOPIES": "rawx3:DUPONETHREE",
    "ECX21": "NONE:ECX21",
    "EC21": "NONE:EC21",
    "BACKBLAZE": "NONE:BACKBLAZE",
    "EC": "NONE:EC",
    "ECISAL63": "NONE:ECISAL63",
}

SERVICE_UPDATE_POLICY: Final = "meta2=KEEP|3|1;sqlx=KEEP|1|1|;rdir=KEEP|1|1|"

SERVICE_POOLS: Final = {
    "zonedrawx3": "1,rawx-europe,rawx;1,rawx-usa,rawx;1,rawx-asia,rawx",
    "rawx2": "1,rawx-even,rawx;1,rawx-odd,rawx;warn_dist=0",
    "meta2": "1,meta2",
    "rawxevenodd": "1,rawx-even;1,rawx-odd",
    "meta1": "1,meta1",
    "rawx3faraway": "3,rawx;min_dist=2;warn_dist=2",
    "rawx3nearby": "3,rawx;nearby_mode=true;warn_dist=0",
    "fastrawx3": "3,rawx-ssd,rawx",
    "rawx3": "1,rawx-even,rawx;1,rawx-odd,rawx;1,rawx;max_dist=2;warn_dist=0",
    "account": "1,account",
}


@dataclass(frozen=True)
class Policy:
    """One storage policy.

    ``kind`` is that of its data security: ``plain``, ``ec`` or ``backblaze``. ``options`` are those that end
    up in the chunk method of objects, such as ``{"nb_copy": "3"}``.
    """

    name: str
    pool: str = "NONE"
    kind: str = "plain"
    options: dict[str, str] = field(default_factory=lambda: {"nb_copy": "1"})

    @property
    def chunk_method(self) -> str:
        """The chunk method of new objects: ``plain/nb_copy=3``."""
        return f"{self.kind}/" + ",".join(f"{key}={value}" for key, value in sorted(self.options.items()))

    @property
    def required(self) -> int:
        """Number of different chunks that make a metachunk readable."""
        return int(self.options["k"]) if self.kind == "ec" else 1

    @property
    def width(self) -> int:
        """Number of chunks of a complete metachunk."""
        if self.kind == "ec":
            return int(self.options["k"]) + int(self.options["m"])
        return int(self.options.get("nb_copy", "1"))


@functools.lru_cache(maxsize=32)  # Tests make thousands of namespaces.
def _parse(name: str, pool: str, security: str | None) -> Policy:
    if security is None:
        return Policy(name, pool)
    kind, _, text = security.partition("/")
    options = dict(pair.split("=", 1) for pair in text.split(","))
    for placement_only in ("min_dist", "max_dist", "warn_dist"):
        options.pop(placement_only, None)
    if kind == "backblaze":
        del options["nb_copy"]
    return Policy(name, pool, kind, options)


class Policies:
    """The storage policies of a namespace.

    :param default: name of the policy of objects created without one.
    :param refused_kinds: kinds of data security that are listed, but refused for new objects.
    :param bucket: account ID and name of the B2 bucket for the ``backblaze`` kind.

    >>> Policies("SINGLE").get("THREECOPIES").chunk_method
    'plain/nb_copy=3'
    """

    def __init__(
        self,
        default: str,
        *,
        refused_kinds: frozenset[str] = REFUSED_KINDS,
        bucket: tuple[str, str] | None = None,
    ) -> None:
        if default not in STORAGE_POLICY:
            known = ", ".join(sorted(STORAGE_POLICY))
            raise ValueError(f"default_policy: no storage policy {default!r}; there are {known}")
        self.default = default
        self._refused_kinds = refused_kinds
        # The one that an empty name stands for.
        self.data_security = dict(DATA_SECURITY)
        if bucket is not None:
            place = "account_id={},bucket_name={}".format(*bucket)
            self.data_security["BACKBLAZE"] = f"backblaze/{place},min_dist=0,nb_copy=1"
        self._policies = {"NONE": Policy("NONE")}
        for name, described in STORAGE_POLICY.items():
            pool, _, security = described.partition(":")
            self._policies[name] = _parse(name, pool, self.data_security.get(security))

    def __contains__(self, name: str) -> bool:
        return name in self._policies

    def get(self, name: str) -> Policy:
        """Return a policy that new objects may have; raise :class:`Refusal` when there is none."""
        policy = self._policies.get(name)
        if policy is None:
            raise Refusal(NO_SUCH_POLICY, f"Invalid policy: {name}")
        if policy.kind in self._refused_kinds:
            raise Refusal(NO_SUCH_POLICY, f"Policy {name} ({policy.kind}) is not served by this namespace")
        return policy
