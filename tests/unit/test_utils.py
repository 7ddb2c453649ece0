# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import enum
import fcntl
import os
import pwd
import random
import re
import subprocess
import sys

import pytest

from oio.common import utils
from oio.common.exceptions import OioException, ServiceBusy


def test_container_id_is_that_of_the_services():
    assert (
        utils.cid_from_name("acct", "ref")
        == "7B6C08110E07DB93F78613ABC0A0916E62500A29D836EF5FFC32DE4BFD75B6FC"
    )


@pytest.mark.pitfall(146)
@pytest.mark.parametrize("convert", [str.upper, str.lower])
def test_predictable_chunk_id_is_that_of_the_services(convert):
    cid = convert(utils.cid_from_name("acct", "ref"))
    chunk_id = utils.compute_chunk_id(cid, "obj", 1554086800000000, "0.1", "EC")
    assert chunk_id == "F39A49CB810227E191CB435ADC1F1ABA622A14041B143B2488C6848B6101B17E"


@pytest.mark.parametrize("prefix", ["", "create-", "p" * 27, "p" * 28])
def test_request_id_has_32_characters_with_the_process_in_them(prefix):
    reqid = utils.request_id(prefix)
    pid = f"{os.getpid():04X}"
    assert len(reqid) == 28 + len(pid)
    assert reqid.startswith(prefix + pid)
    assert re.fullmatch("[0-9A-F]*", reqid[len(prefix) :])


def test_a_long_prefix_is_kept_whole():
    assert utils.request_id("p" * 50) == "p" * 50 + f"{os.getpid():04X}"


def test_request_ids_differ():
    assert len({utils.request_id() for _ in range(100)}) == 100


def test_request_ids_differ_in_a_program_that_seeds_its_chance():
    found = set()
    for _ in range(2):
        random.seed(1)
        found.add(utils.request_id())
    assert len(found) == 2


def test_request_ids_differ_after_a_fork_but_for_the_process():
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, utils.request_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs, ours = os.read(reading, 64).decode(), utils.request_id()
    os.close(reading)
    os.close(writing)
    assert theirs.removeprefix(f"{child:04X}") != ours.removeprefix(f"{os.getpid():04X}")


@pytest.mark.pitfall(67)
@pytest.mark.parametrize(
    ("value", "safe", "quoted"),
    [
        ("a b+c%d/é?&\n", "/", "a%20b%2Bc%25d/%C3%A9%3F%26%0A"),
        (b"\xc3\xa9/", "", "%C3%A9%2F"),
        ("-_.~", "", "-_.~"),
    ],
)
def test_quoting_is_utf8_then_percent(value, safe, quoted):
    assert utils.quote(value, safe) == quoted


def test_quoted_value_is_plain_text_whatever_its_class():
    class Policy(str, enum.Enum):
        SINGLE = "SINGLE"

    # A member of an enumeration says its own name in some formats.
    assert f"{utils.quote(Policy.SINGLE)}" == "SINGLE"


def test_encoding_leaves_bytes_alone():
    assert (utils.encode("é"), utils.encode("é", "latin-1"), utils.encode(b"\xff")) == (
        b"\xc3\xa9",
        b"\xe9",
        b"\xff",
    )


@pytest.mark.pitfall(71)
def test_lower_keys_are_those_of_a_copy():
    headers = {"X-A": 1, "b": 2}
    assert utils.lower_dict_keys(headers) == {"x-a": 1, "b": 2}
    assert headers == {"X-A": 1, "b": 2}


def test_chunks_are_grouped_by_errors_that_read_alike():
    first, alike, other = OSError("refused"), OSError("refused"), ValueError("refused")
    groups = utils.group_chunk_errors([("a", first), ("b", other), ("c", alike), ("d", "HTTP 500")])
    assert groups == {first: ["a", "c"], other: ["b"], "HTTP 500": ["d"]}


class Pages:
    """A listing of numbers, with pages of two."""

    def __init__(self, count, failures=0):
        self.count = count
        self.failures = failures
        self.calls = []

    def __call__(self, *args, marker=-1, **kwargs):
        self.calls.append((args, marker, kwargs))
        if self.failures:
            self.failures -= 1
            raise ServiceBusy(503)
        items = [n for n in range(self.count) if n > marker][:2]
        truncated = bool(items) and items[-1] < self.count - 1
        return {"items": items, "truncated": truncated, "next": items[-1] if items else None}


def by_page(pages, *args, **kwargs):
    return utils.depaginate(
        pages,
        None,
        lambda page: page["items"],
        lambda page: page["next"],
        lambda page: page["truncated"],
        *args,
        **kwargs,
    )


@pytest.mark.parametrize("count", range(6))
def test_all_pages_are_listed(count):
    assert list(by_page(Pages(count))) == list(range(count))


def test_by_default_pages_are_lists_that_end_with_an_empty_one():
    pages = Pages(5)
    listing = utils.depaginate(lambda **kwargs: pages(**kwargs)["items"], item_key=str)
    assert list(listing) == ["0", "1", "2", "3", "4"]
    assert [marker for _, marker, _ in pages.calls] == [-1, 1, 3, 4]


def test_arguments_go_with_each_page():
    pages = Pages(3)
    assert list(by_page(pages, "acct", marker=0, limit=2)) == [1, 2]
    assert pages.calls == [(("acct",), 0, {"limit": 2})]


def test_pages_are_asked_for_when_they_are_needed():
    pages = Pages(6)
    listing = by_page(pages)
    assert pages.calls == []
    assert [next(listing), next(listing)] == [0, 1]
    assert len(pages.calls) == 1


@pytest.mark.pitfall(91)
def test_a_busy_page_is_asked_again_and_not_the_whole_listing():
    pages = Pages(4, failures=2)
    assert list(by_page(pages, attempts=3)) == [0, 1, 2, 3]
    assert [marker for _, marker, _ in pages.calls] == [-1, -1, -1, 1]


@pytest.mark.pitfall(91)
@pytest.mark.parametrize(("attempts", "calls"), [(0, 1), (1, 1), (3, 3)])
def test_a_page_that_stays_busy_is_given_up(attempts, calls):
    pages = Pages(4, failures=10)
    with pytest.raises(ServiceBusy):
        next(by_page(pages, attempts=attempts))
    assert len(pages.calls) == calls


@pytest.mark.pitfall(90, 141)
def test_an_empty_page_that_is_truncated_is_not_the_end():
    answers = iter(
        [
            {"items": [1], "truncated": True, "next": 1},
            {"items": [], "truncated": True, "next": 5},
            {"items": [6], "truncated": False, "next": 6},
        ]
    )
    assert list(by_page(lambda **_: next(answers))) == [1, 6]


@pytest.mark.pitfall(141)
@pytest.mark.parametrize("marker", [None, 7])
def test_a_truncated_page_that_leads_nowhere_raises_instead_of_looping(marker):
    page = {"items": [], "truncated": True, "next": marker}
    with pytest.raises(OioException, match="truncated"):
        list(by_page(lambda **_: page, marker=7))


@pytest.mark.pitfall(121)
def test_statistics_are_added_to_the_dictionary_of_the_caller():
    rawx = {"upload.a": 1.0, "upload.b": 3.0, "overall": 9.0}
    perfdata = {"rawx": rawx}
    utils.compute_perfdata_stats(perfdata)
    utils.compute_perfdata_stats(perfdata)
    assert perfdata["rawx"] is rawx
    assert rawx == {
        "upload.a": 1.0,
        "upload.b": 3.0,
        "overall": 9.0,
        "upload.AVG": 2.0,
        "upload.SD": 1.0,
        "upload.RSD": 0.5,
    }


@pytest.mark.pitfall(35)
@pytest.mark.parametrize("perfdata", [{}, {"rawx": {}}, {"rawx": {"overall": 1.0}}])
def test_there_may_be_nothing_to_make_statistics_of(perfdata):
    before = repr(perfdata)
    utils.compute_perfdata_stats(perfdata)
    assert repr(perfdata) == before


def test_statistics_of_zeros():
    perfdata = {"rawx": {"connect.a": 0.0}}
    utils.compute_perfdata_stats(perfdata, "connect.")
    assert perfdata["rawx"]["connect.RSD"] == 0.0


def test_a_cache_forgets_its_oldest_keys():
    cache = utils.CacheDict(size=2)
    cache["a"] = 1
    cache["b"] = 2
    cache["a"] = 3
    cache["c"] = 4
    assert dict(cache) == {"b": 2, "c": 4}
    assert utils.CacheDict().size == 262144


def test_a_ring_keeps_its_last_items():
    ring = utils.RingBuffer(3)
    for item in range(5):
        ring.append(item)
    assert (list(ring), ring[-1], len(ring)) == ([2, 3, 4], 4, 3)


@pytest.fixture
def pipe_end():
    read_end, write_end = os.pipe()
    yield read_end
    os.close(read_end)
    os.close(write_end)


def test_a_non_blocking_descriptor_does_not_wait(pipe_end):
    utils.set_fd_non_blocking(pipe_end)
    with pytest.raises(BlockingIOError):
        os.read(pipe_end, 1)


def test_a_descriptor_can_be_kept_from_other_programs(pipe_end):
    os.set_inheritable(pipe_end, True)
    utils.set_fd_close_on_exec(pipe_end)
    assert fcntl.fcntl(pipe_end, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_all_files_of_a_volume_are_found(tmp_path):
    (tmp_path / "ABC").mkdir()
    for name in ("ABC/ABC1", "ABC/ABC2", "top"):
        (tmp_path / name).write_bytes(b"")
    assert sorted(utils.paths_gen(str(tmp_path))) == [
        str(tmp_path / "ABC/ABC1"),
        str(tmp_path / "ABC/ABC2"),
        str(tmp_path / "top"),
    ]


def test_free_space_is_a_percentage(tmp_path):
    space, inodes = utils.statfs(str(tmp_path))
    assert 0.0 <= space <= 100.0
    assert 0.0 <= inodes <= 100.0


def test_an_unknown_user_is_refused():
    with pytest.raises(KeyError, match="no-such-user"):
        utils.drop_privileges("no-such-user")


def test_privileges_are_dropped_for_good():
    user = pwd.getpwuid(os.getuid() or pwd.getpwnam("nobody").pw_uid)
    program = (
        "import os; from oio.common.utils import drop_privileges;"
        f"drop_privileges({user.pw_name!r}); print(os.getuid(), os.geteuid(), os.getgid(), os.getegid())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(user.pw_uid)] * 2 + [str(user.pw_gid)] * 2


def test_there_is_a_processor():
    assert utils.CPU_COUNT >= 1
