# SPDX-License-Identifier: Apache-2.0
"""What making a client imports, and what the first request imports."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading

import pytest

import oio
from oio.common import green, http_stack
from oio.common.http_api import HttpApi
from oio.common.limits import NO_LIMITS

_CLIENT = """
import sys
before = {*sys.modules}
import oio
api = oio.ObjectStorageApi("NS", endpoint="127.0.0.1:1", request_attempts=1)
"""
_CALL = """
def call():
    try:
        api.container_list("account")
    except oio.common.exceptions.OioNetworkException:
        sys.stdout.write("asked\\n")
"""
_NEW = """
print(*{*sys.modules} - before)
"""
_IN_A_CHILD = """
import os
def in_a_child():
    child = os.fork()
    if child == 0:
        call()
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)
"""
_HEAVY = {
    "asyncio",
    "email",
    "eventlet",
    "greenlet",
    "hashlib",
    "http.client",
    "importlib.metadata",
    "socket",
    "ssl",
}
_HEAVY |= {"oio.blob.client", "oio.blob.connect", "oio.common.http_urllib3", "tempfile", "urllib3"}
_HEAVY |= {f"oio.api._operations.{name}" for name in ("commit", "download", "emptying", "paging", "upload")}
_HEAVY |= {"oio.api._data.layout", "oio.api._data.strategies", "oio.common.chunks"}


def run(*parts):
    """Run a program, and return the words that it has printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "".join(parts)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.pitfall(42)
@pytest.mark.parametrize(
    "then",
    [
        "",
        "api.close()",
        "import pickle; pickle.loads(pickle.dumps(api))",
        "import os; os.fork() or os._exit(0); os.wait()",
    ],
    ids=["made", "closed", "pickled", "beside a child"],
)
def test_a_client_is_made_without_what_only_requests_need(then):
    loaded = run(_CLIENT, then, _NEW)
    assert "oio.api.object_storage" in loaded
    assert {*loaded} & _HEAVY == set()


@pytest.mark.parametrize("other", ["counted", "Mock(side_effect=counted)"], ids=["function", "mock"])
def test_checksums_that_are_imported_late_know_a_replaced_function(other):
    """Tests of applications replace it to count checksums, maybe before the first call."""
    program = f"""
import hashlib
from unittest.mock import Mock
new, seen = hashlib.new, []
def counted(*args, **kwargs):
    seen.append(args)
    return new(*args, **kwargs)
hashlib.new = {other}
from oio.common.checksums import new_checksum
print(new_checksum("md5").hexdigest(), *seen)
"""
    assert run(_CLIENT, program) == ["d41d8cd98f00b204e9800998ecf8427e", "('md5',)"]


@pytest.mark.parametrize(
    "frozen", ["del hashlib.__file__", "hashlib.__file__ += 'c'"], ids=["frozen", "sourceless"]
)
def test_checksums_do_not_depend_on_files_of_the_standard_library(frozen):
    """Modules of frozen programs have no file, or another one than their code was compiled from."""
    program = f"""
import hashlib
{frozen}
from oio.common.checksums import _NEW, new_checksum
print(new_checksum("md5").hexdigest(), _NEW is hashlib.new)
"""
    assert run(program) == ["d41d8cd98f00b204e9800998ecf8427e", "True"]


def test_names_that_are_imported_late_are_listed_and_there():
    program = """
from oio.api import object_storage
print(*({*object_storage.__all__} - {*dir(object_storage)}), object_storage.ObjectStream.__name__)
"""
    assert run(program) == ["ObjectStream"]


def test_a_call_after_preload_imports_nothing_of_a_client():
    imported = run(_CLIENT, "import oio.preload; before = {*sys.modules}", _CALL, "call()", _NEW)
    assert imported[0] == "asked"
    assert [
        name for name in imported if name.partition(".")[0] in {"asyncio", "eventlet", "oio", "urllib3"}
    ] == []


def test_the_clients_of_a_client_share_a_pool_that_is_made_when_it_is_looked_at():
    with oio.ObjectStorageApi("NS", endpoint="127.0.0.1:1") as api:
        clients = [api.directory, api.container, api.account, api.account._lb, api._conscience]
        pools = [client.pool_manager for client in (*clients, api.blob_client, api.proxy_client)]
        assert {id(pool) for pool in pools} == {id(api._pool_manager)}
        assert pools[0].connection_pool_kw["maxsize"] == 32


def test_a_pool_of_the_programs_own_is_used_at_once():
    with oio.ObjectStorageApi("NS", endpoint="127.0.0.1:1", pool_maxsize="4") as api:
        own = api.container.pool_manager
        assert own.connection_pool_kw["maxsize"] == 4
        with oio.ObjectStorageApi("NS", endpoint="127.0.0.1:1", pool_manager=own) as other:
            assert (other.container.pool_manager, other.directory.pool_manager) == (own, own)
    with pytest.raises(ValueError, match="many"):
        oio.ObjectStorageApi("NS", endpoint="127.0.0.1:1", pool_maxsize="many")


def test_first_calls_of_several_threads_share_a_pool():
    program = """
import threading
barrier = threading.Barrier(8)
def work():
    barrier.wait()
    call()
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
from oio.common.http_urllib3 import _MANAGERS
print(len(_MANAGERS))
"""
    assert run(_CLIENT, _CALL, program) == [*(["asked"] * 8), "1"]


def test_first_call_in_a_child_process():
    assert run(_CLIENT, _CALL, _IN_A_CHILD, "in_a_child(); call()") == ["asked", "asked"]


@pytest.mark.parametrize("first", ["", "from oio.common import green"], ids=["client", "before logging"])
@pytest.mark.parametrize(
    "need",
    [
        "http_stack.urllib3; green.sleep; _operations.paging",
        "green.sleep; api.container.pool_manager; _operations.paging",
    ],
    ids=["stack", "pool"],
)
@pytest.mark.parametrize("module", ["eventlet", "urllib3", "oio.api._operations.paging"])
def test_a_fork_waits_for_what_another_thread_imports(module, need, first):
    program = f"""
import threading, warnings
from importlib.machinery import PathFinder
imports, forks = threading.Event(), threading.Event()
class Finder:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            # A fork waits by itself for who looks for modules, but not for who runs them.
            spec = PathFinder.find_spec(name, path)
            run = spec.loader.exec_module
            spec.loader.exec_module = lambda made: (imports.set(), forks.wait(), run(made))
            return spec
sys.meta_path.insert(0, Finder())
from oio.api import _operations
from oio.common import green, http_stack
def load():
    {need}
thread = threading.Thread(target=load)
thread.start()
imports.wait()
os.register_at_fork(before=forks.set)
warnings.simplefilter("ignore", DeprecationWarning)
in_a_child()
thread.join()
call()
"""
    assert run(first, _CLIENT, _CALL, _IN_A_CHILD, program) == ["asked", "asked"]


@pytest.mark.pitfall(42)
def test_ids_of_containers_import_nothing():
    """A child of a fork could not end what another thread was importing at that moment."""
    program = """
from oio.common.utils import cid_from_name
before = {*sys.modules}
cid_from_name("account", "container")
"""
    assert run(_CLIENT, program, _NEW) == []


@pytest.mark.pitfall(42)
def test_a_fork_waits_for_the_checksums_that_an_option_needs():
    program = """
import os, threading, warnings
from importlib.machinery import PathFinder
imports, forks = threading.Event(), threading.Event()
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "hashlib":
            spec = PathFinder.find_spec(name, path)
            run = spec.loader.exec_module
            spec.loader.exec_module = lambda made: (imports.set(), forks.wait(), run(made))
            return spec
sys.meta_path.insert(0, Finder())
def call():
    oio.ObjectStorageApi("NS", endpoint="127.0.0.1:1", chunk_checksum_algo="MD5").close()
    sys.stdout.write("made\\n")
thread = threading.Thread(target=call)
thread.start()
imports.wait()
os.register_at_fork(before=forks.set)
warnings.simplefilter("ignore", DeprecationWarning)
in_a_child()
thread.join()
"""
    assert run(_CLIENT, _IN_A_CHILD, program) == ["made", "made"]


@pytest.mark.parametrize("act", ["call", "in_a_child"])
def test_signal_handler_may_call_or_fork_while_the_first_call_imports(act):
    program = f"""
import signal
from oio.common import green
green.sleep
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "oio.api._operations.upload":
            sys.meta_path.remove(self)
            signal.raise_signal(signal.SIGUSR1)
sys.meta_path.insert(0, Finder())
signal.signal(signal.SIGUSR1, lambda *_: {act}())
try:
    api.object_create("account", "container", obj_name="name", data=b"")
except oio.common.exceptions.OioNetworkException:
    sys.stdout.write("asked\\n")
"""
    assert run(_CLIENT, _CALL, _IN_A_CHILD, program) == ["asked", "asked"]


@pytest.mark.parametrize("module", ["eventlet.greenio", "eventlet.hubs", "urllib3.connection"])
def test_signal_handler_may_interrupt_what_the_first_call_imports(module):
    # Some of these packages could not be imported any more.
    program = f"""
import signal, threading
class Late(BaseException): pass
def strike(*_):
    raise Late
signal.signal(signal.SIGUSR1, strike)
class Finder:
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
sys.meta_path.insert(0, Finder())
try:
    call()
except Late:
    print("late")
call()
"""
    assert run(_CLIENT, _CALL, program) == ["late", "asked"]


def test_names_of_green_threads_are_there_before_they_are_imported():
    program = """
import sys
import oio.common.green
print({*oio.common.green.__all__} <= {*dir(oio.common.green)}, "eventlet" in sys.modules)
from oio.common.http_urllib3 import SafePoolManager, get_pool_manager
print("eventlet" in sys.modules)
from oio.common.green import Timeout
import eventlet
print(Timeout is eventlet.Timeout, type(get_pool_manager()) is SafePoolManager)
"""
    assert run(program) == ["True", "False", "False", "True", "True"]
    with pytest.raises(AttributeError, match="nope"):
        _ = green.nope


def test_locks_are_those_of_the_system_whenever_the_host_is_patched():
    program = """
import warnings
warnings.simplefilter("ignore")
import eventlet
{before}
from oio.common import green
{after}
print(*[type(make()).__module__ for make in (green.Lock, green.RLock)])
"""
    patch = "eventlet.monkey_patch()"
    assert run(program.format(before=patch, after="")) == ["_thread", "_thread"]
    assert run(program.format(before="", after=patch)) == ["_thread", "_thread"]


def test_client_that_has_called_nothing_can_be_pickled():
    with oio.ObjectStorageApi("NS", endpoint="127.0.0.1:1") as api, pickle.loads(pickle.dumps(api)) as copy:
        assert copy.container.pool_manager is not api.container.pool_manager


def test_clients_do_not_wait_for_each_other_when_they_make_what_requests_need():
    begun, may_end, made = threading.Event(), threading.Event(), threading.Event()

    class Slow(HttpApi):
        @property
        def _limits(self):
            begun.set()
            may_end.wait()
            return NO_LIMITS

        @_limits.setter
        def _limits(self, _limits):
            pass

    def make():
        if HttpApi()._usual_timeout is not None:
            made.set()

    green.sleep, http_stack.urllib3  # noqa: B018 - imported once
    threads = [threading.Thread(target=lambda: Slow()._usual_timeout), threading.Thread(target=make)]
    threads[0].start()
    begun.wait()
    threads[1].start()
    was_made = made.wait(30)
    may_end.set()
    for thread in threads:
        thread.join()
    assert was_made


def test_eventlet_leaves_the_lock_of_imports_as_it_is():
    # OS threads that wait for a green lock never wake up.
    program = """
import warnings
warnings.simplefilter("ignore")
import eventlet
from oio.common import green
before = type(green.LOADING)
eventlet.monkey_patch()
eventlet.spawn(call).wait()
print(type(green.LOADING) is before)
"""
    assert run(_CLIENT, _CALL, program) == ["asked", "True"]
