# SPDX-License-Identifier: Apache-2.0
"""Public names of the modules that the published API leaves to the layers below."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from oio.api import object_storage
from oio.common import decorators, storage_functions

NAMES = {
    "oio.common.configuration": "config_paths load_namespace_conf parse_config parse_options read_conf "
    "set_namespace_options validate_service_conf InvalidServiceConfigError NamespaceConfiguration "
    "NS_CONF_CACHE",
    "oio.common.http_urllib3": "DEFAULT_BACKOFF DEFAULT_POOLSIZE DEFAULT_RETRIES SafePoolManager "
    "URLLIB3_POOLMANAGER_KWARGS URLLIB3_REQUESTS_KWARGS get_pool_manager oio_exception_from_httperror "
    "urllib3",
    "oio.common.client": "ProxyClient",
    "oio.common.http_eventlet": "CustomHTTPResponse CustomHttpConnection CustomHttpsConnection http_connect",
    "oio.common.http": "HeadersDict get_addr headers_from_object_metadata http_header_from_ranges "
    "parse_content_range parse_content_type ranges_from_http_header",
    "oio.common.decorators": "ensure_headers ensure_request_id ensure_request_id2 handle_account_not_found "
    "handle_container_not_found handle_object_not_found patch_kwargs",
    "oio.common.fullpath": "decode_fullpath decode_old_fullpath encode_fullpath encode_old_fullpath",
    "oio.common.easy_value": "FALSE_VALUES METRIC_SYMBOLS TRUE_VALUES boolean_value convert_size debinarize "
    "float_value int_value is_hexa true_value",
    "oio.common.json": "json",
    "oio.common.timestamp": "Timestamp",
    "oio.common.logger": "StreamToLogger get_logger redirect_stdio",
    "oio.common.green": "ChunkReadTimeout ChunkWriteTimeout ConnectionTimeout ContextPool Empty Event "
    "GreenPile GreenPool HTTPConnection HTTPResponse HTTPSConnection LifoQueue LightQueue OioTimeout Queue "
    "Semaphore SourceReadTimeout Timeout datetime eventlet eventlet_hubs eventlet_yield get_hub greenthread "
    "patcher ratelimit sleep socket threading time",
    "oio.common.utils": "CPU_COUNT CacheDict GeneratorIO RingBuffer cid_from_name compute_chunk_id "
    "compute_perfdata_stats deadline_to_timeout depaginate drop_privileges encode fix_ranges "
    "group_chunk_errors lower_dict_keys monotonic_time paths_gen quote request_id "
    "set_deadline_from_read_timeout set_fd_close_on_exec set_fd_non_blocking statfs timeout_to_deadline",
    "oio.common.cache": "_get_container_metadata_cache_key _get_object_metadata_cache_key "
    "del_cached_container_metadata del_cached_object_metadata get_cached_container_metadata "
    "get_cached_object_metadata set_cached_container_metadata set_cached_object_metadata",
    "oio.common.storage_method": "BackblazeStorageMethod ECDriverError ECStorageMethod EC_SEGMENT_SIZE "
    "ReplicatedStorageMethod STORAGE_METHODS StorageMethod guess_storage_method load_methods "
    "parse_chunk_method",
    "oio.common.storage_functions": "_make_object_metadata _sort_chunks fetch_stream get_meta_ranges "
    "obj_range_to_meta_chunk_range wrand_choice_index",
    "oio.common.autocontainer": "AutocontainerBase AutocontainerBuilder ContainerBuilder "
    "HashedContainerBuilder NoMatchFound RegexContainerBuilder",
    "oio.cli": "Command Lister ShowOne main",
    "oio.common.redis_conn": "RedisConnection catch_service_errors",
    "oio.api.object_storage": "ObjectStorageAPI ObjectStorageApi _sort_chunks handle_account_not_found "
    "handle_container_not_found handle_object_not_found patch_kwargs",
}


@pytest.mark.pitfall("E1", "E3", "E4", "E5", "E5b", "E5c")
@pytest.mark.parametrize(("module", "name"), [(m, name) for m in NAMES for name in NAMES[m].split()])
def test_name_is_there(module, name):
    assert hasattr(importlib.import_module(module), name)


@pytest.mark.pitfall("E1")
@pytest.mark.parametrize(
    ("name", "home"),
    [
        ("_sort_chunks", storage_functions),
        ("handle_account_not_found", decorators),
        ("handle_container_not_found", decorators),
        ("handle_object_not_found", decorators),
    ],
)
def test_gateways_find_the_same_functions_beside_the_api(name, home):
    assert getattr(object_storage, name) is getattr(home, name)


LAZY = """
import sys
import oio.common.storage_method as module
assert "pyeclib" not in sys.modules
from oio.common.storage_method import ECDriverError
from pyeclib.ec_iface import ECDriverError as same
assert ECDriverError is same
try:
    module.nothing
except AttributeError as err:
    print(err)
"""


TOOL = """
import sys
import oio.cli
assert "cliff" not in sys.modules
from oio.cli import Command, Lister, ShowOne
import cliff.command, cliff.lister, cliff.show
assert (Command, Lister, ShowOne) == (cliff.command.Command, cliff.lister.Lister, cliff.show.ShowOne)

class Tool(ShowOne):
    def take_action(self, parsed_args):
        return ("name",), ("value",)

print(Tool(None, None).get_parser("tool").prog)
try:
    oio.cli.Nothing
except AttributeError as err:
    print(err)
"""


@pytest.mark.pitfall("E5c")
def test_commands_of_gateways_derive_from_classes_that_are_loaded_late():
    found = subprocess.run([sys.executable, "-c", TOOL], check=True, capture_output=True, text=True)
    assert found.stdout == "tool\nmodule 'oio.cli' has no attribute 'Nothing'\n"


@pytest.mark.pitfall("E5c")
def test_classes_of_commands_tell_which_extra_they_need(monkeypatch):
    monkeypatch.setitem(sys.modules, "cliff.show", None)
    with pytest.raises(ImportError, match=r"pip install 'openio-sdk\[cli\]'"):
        from oio.cli import ShowOne  # noqa: F401


@pytest.mark.pitfall("E5")
def test_error_of_the_coding_library_is_its_own_and_loads_it_late():
    found = subprocess.run([sys.executable, "-c", LAZY], check=True, capture_output=True, text=True)
    assert found.stdout == "module 'oio.common.storage_method' has no attribute 'nothing'\n"
