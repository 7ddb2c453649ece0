# SPDX-License-Identifier: Apache-2.0
"""Commands on objects."""

from __future__ import annotations

import json
import os

import pytest

HELLO_MD5 = "B1946AC92492D2347C6235B4D2611184"


@pytest.fixture
def stored(shell, hello):
    shell.json("object create c", hello, "--name", "o", "--property", "k=v", "--mime-type", "text/plain")
    return shell


def test_a_file_is_created_listed_shown_and_saved(shell, hello, tmp_path):
    assert shell.json("object create c", hello) == [
        {"Name": "h.txt", "Size": 6, "Hash": HELLO_MD5, "Status": "Ok"}
    ]
    (listed,) = shell.json("object list c")
    assert list(listed) == ["Name", "Size", "Hash", "Version"]
    assert (listed["Name"], listed["Size"], listed["Hash"]) == ("h.txt", 6, HELLO_MD5)
    assert isinstance(listed["Version"], int)
    target = tmp_path / "below" / "copy"
    assert shell("object save c h.txt --file", target).code == 0
    assert target.read_bytes() == b"hello\n"


def test_show_gives_sorted_text(stored, account):
    shown = stored.json("object show c o")
    assert list(shown) == [
        "account",
        "container",
        "ctime",
        "hash",
        "id",
        "meta.k",
        "mime-type",
        "mtime",
        "object",
        "policy",
        "size",
        "version",
    ]
    assert {type(value) for value in shown.values()} == {str}
    assert shown["account"] == account
    assert (shown["hash"], shown["meta.k"], shown["mime-type"]) == (HELLO_MD5, "v", "text/plain")
    assert (shown["object"], shown["size"], shown["policy"]) == ("o", "6", "SINGLE")


def test_a_long_list_has_properties_as_the_format_can_show_them(stored):
    (listed,) = stored.json("object list c --properties")
    assert list(listed)[4:] == ["Deleted", "Content-Type", "Last-Modified", "Policy", "Properties"]
    assert (listed["Deleted"], listed["Content-Type"], listed["Properties"]) == (
        False,
        "text/plain",
        {"k": "v"},
    )
    ended = stored("object list c --properties -f value -c Properties -c Name")
    assert ended.out == "o k=v\n"


def test_full_means_the_format_value_at_its_place(stored):
    assert stored("object list c -f json --full -c Name").out == "o\n"
    assert stored("object list c --full -f json -c Name").json == [{"Name": "o"}]


def test_files_that_fail_have_rows_and_do_not_stop_the_others(shell, hello, tmp_path):
    ended = shell("object create c", tmp_path / "nofile", hello, "--name", "x1", "-f", "json")
    assert ended.code == 1
    assert [(row["Name"], row["Size"], row["Hash"], row["Status"]) for row in json.loads(ended.out)] == [
        ("nofile", 0, None, "Failed"),
        ("x1", 6, HELLO_MD5, "Ok"),
    ]
    assert f"Failed to upload {tmp_path / 'nofile'} in c: " in ended.err
    assert "Too many errors occured" in ended.err


def test_without_autocreate_the_container_must_exist(shell, hello):
    ended = shell("object create nosuch --no-autocreate", hello)
    assert ended.code == 1
    assert "Container 'nosuch' does not exist." in ended.err


def test_what_follows_two_dashes_is_a_name(shell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-f").write_text("hello\n")
    for line, *names in (
        ("container create --", "-c"),
        ("container create -f json --", "-c", "--", "--ns"),
        ("object create --", "-c", "-f"),
    ):
        ended = shell(line, *names)
        assert ended.code == 0, ended.err
    assert shell("container list -f value -c Name").out == "--\n--ns\n-c\n"
    assert shell("object cat --range 0-1 --", "-c", "-f").out == "he"
    assert shell("object cat --", "-c", "-f").out == "hello\n"
    assert shell("object show -f value -c object --", "-c", "-f").out == "-f\n"
    ended = shell("container show -- -c -d")
    assert ended.err.endswith("error: unrecognized arguments: -d\n"), ended.err
    assert shell("object delete --", "-c", "-f").code == 0
    assert shell("rdir assignments -- rawx").code == 0
    assert shell("", stdin=b"container delete -- -c -- --ns\n").code == 0
    assert shell("container list -f value").out == ""


def test_an_empty_name_is_refused_and_not_replaced_by_that_of_the_file(shell, hello):
    ended = shell("object create c", hello, "--name", "")
    assert (ended.code, "--name must not be empty" in ended.err) == (1, True), ended.err
    assert shell("object create c", hello, "--name=x").code == 0
    assert shell("object list c -f value -c Name").out == "x\n"


def test_the_standard_input_is_an_object_and_an_object_the_standard_output(shell):
    data = bytes(range(256))
    assert shell.json("object create c - --name bin", stdin=data)[0]["Size"] == 256
    ended = shell("object create c -", stdin=data)
    assert ended.code == 1
    assert "the standard input needs --name" in ended.err


@pytest.mark.parametrize("command", ["object cat c o", "object save c o --file -"])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", "hello\n"),
        ("--range 1-2", "el"),
        ("--range 4-", "o\n"),
        ("--range -3", "lo\n"),
        ("--verify strict --range 0-0", "h"),
        ("--deadline 60", "hello\n"),
    ],
)
def test_an_object_goes_to_the_standard_output(stored, command, options, expected):
    ended = stored(f"{command} {options}")
    assert (ended.code, ended.out) == (0, expected), ended.err


def test_a_range_is_saved_to_a_file_which_is_there_only_when_complete(stored, tmp_path):
    target = tmp_path / "new" / "part"
    assert stored("object save c o --range 0-1 --file", target).code == 0
    assert target.read_bytes() == b"he"
    before = set(target.parent.iterdir())
    ended = stored("object save c o --range 100-200 --file", target.parent / "none")
    assert ended.code == 1
    assert set(target.parent.iterdir()) == before


def test_a_whole_object_gets_the_time_of_its_file_with_a_deadline_too(stored, hello, tmp_path):
    os.utime(hello, (1_500_000_000, 1_500_000_000))
    stored(f"sync {tmp_path} oio://c/dir")
    for number, options in enumerate(("", "--deadline 60", "--dump-perfdata")):
        assert stored(f"object save c dir/h.txt {options} --file", tmp_path / f"saved-{number}").code == 0
        assert (tmp_path / f"saved-{number}").stat().st_mtime == 1_500_000_000


@pytest.mark.parametrize("options", ["", "--range 0-"])
def test_a_link_given_as_file_is_followed(stored, tmp_path, options):
    (tmp_path / "data").mkdir()
    for name in ("old", "new"):
        (tmp_path / name).symlink_to(f"data/{name}")
    (tmp_path / "data" / "old").write_text("old")
    for name in ("old", "new"):
        assert stored(f"object save c o {options} --file", tmp_path / name).code == 0
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / "data" / name).read_text() == "hello\n"


@pytest.mark.parametrize("options", ["", "--range 0-"])
def test_the_file_of_a_descriptor_is_written_to_and_not_replaced(stored, tmp_path, options):
    with (tmp_path / "output").open("w+") as output:
        # As /dev/stdout is.
        (tmp_path / "link").symlink_to(f"/proc/self/fd/{output.fileno()}")
        assert stored(f"object save c o {options} --file", tmp_path / "link").code == 0
        assert (tmp_path / "link").is_symlink()
        assert output.read() == "hello\n"


@pytest.mark.parametrize("text", ["-", "b-a", "5-1", "1"])
def test_what_is_no_range_is_bad_usage(stored, text):
    assert stored(f"object cat c o --range={text}").code == 2


def test_directories_go_there_and_back(shell, tmp_path):
    site = tmp_path / "site"
    for name in ("index.html", "css/style.css"):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(name)
    rows = shell.json("object create c", site, "--jobs", 2)
    assert sorted((row["Name"], row["Status"]) for row in rows) == [
        ("site/css/style.css", "Ok"),
        ("site/index.html", "Ok"),
    ]
    assert shell("object save c site --recursive --file", tmp_path / "back").code == 0
    assert (tmp_path / "back" / "css" / "style.css").read_text() == "css/style.css"


@pytest.mark.parametrize("path", [".", "./", "..", "../site/.", "css/..", "css/../../site"])
def test_directories_named_by_dots_give_their_own_names(shell, tmp_path, monkeypatch, path):
    css = tmp_path / "site" / "css"
    css.mkdir(parents=True)
    (css / "style.css").write_text("body {}")
    monkeypatch.chdir(css if path == ".." else css.parent)
    (row,) = shell.json("object create c", path)
    assert (row["Name"], row["Status"]) == ("site/css/style.css", "Ok")
    back = tmp_path / "back"
    back.mkdir()
    monkeypatch.chdir(back)
    assert shell("container save c").code == 0
    assert (back / "site" / "css" / "style.css").read_text() == "body {}"


def test_no_path_at_all_does_not_give_the_name_of_the_directory(shell):
    (row,) = json.loads(shell("object create c -f json", "").out)
    assert (row["Name"], row["Status"]) == (".", "Failed")


@pytest.mark.parametrize("prefix", ["sit", "site/", "\x1b[2J"])
def test_a_prefix_that_no_object_has_is_an_error(stored, tmp_path, prefix):
    stored("object create c", tmp_path / "h.txt", "--name", "site-of-others")
    ended = stored("object save c --recursive --file", tmp_path / "back", prefix)
    assert (ended.code, ended.out) == (1, "")
    directory = prefix.rstrip("/") + "/"
    assert ended.err == f"No object begins with {directory!r}; hint: see 'openio object list'\n"


def test_a_prefix_whose_files_are_there_already_is_no_error(shell, hello, tmp_path):
    shell("object create c", hello, "--name", "site/h")
    shell("object create c", hello, "--name", "site-of-others")
    for _ in range(2):
        assert shell("object save c site --recursive --file", tmp_path / "back").code == 0


def test_control_characters_of_names_are_escaped_for_people_and_kept_for_programs(shell, hello):
    name, shown = "a\x1b[2J\x08b\x9bc", r"a\x1b[2J\x08b\x9bc"
    created = shell("object create c", hello, "--name", name)
    assert f"| {shown} |" in created.out
    shell("object set c", name, "--property", "k=line 1\nline\x07 2")
    table = shell("object show c", name).out
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    assert lines[lines.index(["meta.k", "line 1"]) + 1] == ["", r"line\x07 2"]
    assert f"| {shown} |" in shell("object list c --long").out
    assert [row["Name"] for row in shell.json("object list c")] == [name]
    for kind in ("value", "csv"):
        assert name in shell(f"object list c -f {kind}").out
    # So are those in messages.
    failed = shell("object create c", name)
    assert failed.code == 1
    assert f"Failed to upload {shown} in c: {shown}: No such file" in failed.err
    # A message is one line, whatever the name.
    assert shell("object create c", "two\nlines").err.startswith(r"Failed to upload two\nlines in c: ")


def test_no_name_leads_out_of_the_directory(shell, hello, tmp_path, monkeypatch):
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    shell("object create c", hello, "--name", "../out")
    ended = shell("object save c ../out")
    assert ended.code == 1
    assert "give --file" in ended.err
    assert shell("container save c").code == 1
    assert not (tmp_path / "out").exists()


def test_an_object_is_saved_under_its_name_and_a_container_below_the_directory(stored, tmp_path, monkeypatch):
    for number, line in enumerate(("object save c o", "container save c")):
        here = tmp_path / str(number)
        here.mkdir()
        monkeypatch.chdir(here)
        assert stored(line).code == 0
        assert (here / "o").read_bytes() == b"hello\n"


def test_an_unknown_object_makes_no_file(stored, tmp_path):
    ended = stored("object save c nope --file", tmp_path / "nope")
    assert ended.code == 1
    assert "Object 'nope' does not exist. (Alias not found)" in ended.err
    assert list(tmp_path.glob("*nope*")) == []


def test_one_object_is_deleted_or_that_is_an_error(stored):
    assert stored.json("object delete c o") == [{"Name": "o", "Deleted": True}]
    assert stored("object delete c o").code == 1


def test_of_many_objects_each_may_not_be_deleted(stored):
    rows = stored.json("object delete c nope o")
    assert rows == [{"Name": "nope", "Deleted": False}, {"Name": "o", "Deleted": True}]
    assert stored.json("object delete nosuch a b") == [
        {"Name": "a", "Deleted": False},
        {"Name": "b", "Deleted": False},
    ]
    ended = stored("object delete c a b --object-version 1")
    assert ended.code == 1
    assert "Cannot specify a version for several objects" in ended.err


def test_versions_and_deletion_markers(shell, hello):
    shell.json("container create v --max-versions 3")
    shell("object create v", hello, "--name", "k")
    shell("object delete v k")
    assert shell.json("object list v") == []
    marker, first = shell.json("object list v --versions")
    assert (marker["Size"], marker["Hash"], first["Size"]) == ("deleted", None, 6)
    (long, _) = shell.json("object list v --versions --long")
    assert (long["Size"], long["Deleted"]) == (None, True)
    shown = shell.json("object show v k")
    assert {shown[name] for name in ("hash", "id", "mime-type", "policy", "size")} == {"n/a"}
    assert shell(f"object cat v k --object-version {first['Version']}").out == "hello\n"


def test_properties_are_set_cleared_and_removed(stored):
    def known():
        return {k: v for k, v in stored.json("object show c o").items() if k.startswith("meta.")}

    assert stored("object set c o --property a=b=c --property x=y").code == 0
    assert known() == {"meta.k": "v", "meta.a": "b=c", "meta.x": "y"}
    assert stored("object set c o --clear --property a=1").code == 0
    assert known() == {"meta.a": "1"}
    assert stored("object unset c o --property a --property absent").code == 0
    assert known() == {}
    assert stored("object unset c o").code == 0
    ended = stored("object set c o")
    assert ended.code == 1
    assert 'Bad "properties" field' in ended.err


def test_tags_are_stored_as_xml(stored):
    assert stored("object set c o --tagging", '{"a": "<b>"}').code == 0
    shown = stored.json("object show c o")["meta.x-object-sysmeta-swift3-tagging"]
    assert shown == "<Tagging><TagSet><Tag><Key>a</Key><Value>&lt;b&gt;</Value></Tag></TagSet></Tagging>"
    ended = stored("object set c o --tagging [1]")
    assert (ended.code, "--tags: Not a JSON object" in ended.err) == (1, True)
    assert stored("object unset c o --tagging").code == 0


def test_chunks_are_located(stored):
    (row,) = stored.json("object locate c o")
    assert list(row) == ["Pos", "Id", "Metachunk size", "Metachunk hash"]
    assert (row["Pos"], row["Metachunk size"], row["Metachunk hash"]) == ("0", 6, HELLO_MD5)
    assert row["Id"].startswith("http://")
    (row,) = stored.json("object locate c o --chunk-info")
    assert (row["Chunk size"], row["Chunk hash"]) == ("6", HELLO_MD5)


def test_a_link_shares_the_data(stored):
    assert stored("object link c o copy").code == 0
    assert stored.json("object show c copy")["meta.k"] == "v"
    assert stored("object link c o other --dest-container d --property a=b").code == 0
    shown = stored.json("object show d other")
    assert (shown["meta.a"], "meta.k" in shown) == ("b", False)


def test_a_drained_object_keeps_its_description(stored):
    assert stored("object drain c o").code == 0
    ended = stored("object cat c o")
    assert ended.code == 1
    assert "drained" in ended.err
    assert stored.json("object show c o")["size"] == "6"


def test_touch_and_purge(stored):
    assert stored("object touch c o").code == 0
    assert stored("object purge c o --max-versions 1").code == 0
    ended = stored("object touch c nope")
    assert (ended.code, "Alias not found" in ended.err) == (1, True)


def test_containers_are_computed(shell, hello, tmp_path):
    (tmp_path / "fstab").write_bytes(b"x")
    shell.json("object create --auto dummy", hello, tmp_path / "fstab")
    assert sorted(row["Name"] for row in shell.json("container list")) == ["06EE0", "A8418"]
    assert shell("object cat --auto h.txt").out == "hello\n"
    assert sorted(row["Name"] for row in shell.json("object list --auto")) == ["fstab", "h.txt"]
    shell.json("object create --auto --flat-bits 8", hello)
    assert [row["Name"] for row in shell.json("object list A8")] == ["h.txt"]


def test_a_listing_of_computed_containers_of_an_unknown_account_fails(shell):
    ended = shell("object list --auto")
    assert (ended.code, "does not exist" in ended.err) == (1, True)


@pytest.mark.parametrize("line", ["object list", "object show o", "object delete o", "object create f"])
def test_without_a_container_there_must_be_auto(shell, line):
    ended = shell(line)
    assert (ended.code, "Missing value for container or --auto" in ended.err) == (1, True)


def test_a_container_is_told_by_its_id(stored):
    base = stored.json("container show c")["base_name"]
    shown = stored.json(f"object show --cid {base} o")
    assert (shown["container"], shown["size"]) == (None, "6")
    assert stored(f"object cat --cid {base} o").out == "hello\n"


def test_a_corrupted_object_is_not_printed_nor_saved_as_if_it_were_right(stored, namespace, tmp_path):
    (row,) = stored.json("object locate c o")
    chunk = row["Id"].rpartition("/")[2]
    (path,) = [p for p in namespace.path.rglob(f"{chunk}*") if p.is_file() and p.stat().st_size == 6]
    path.write_bytes(b"jello\n")
    for line in ("object cat c o", "object cat c o --verify strict --range 1-2"):
        ended = stored(line)
        assert (ended.code, ended.out) == (1, ""), line
        assert "Traceback" not in ended.err
    target = tmp_path / "saved" / "o"
    for line in ("object save c o --file", "object save c o --deadline 60 --file"):
        assert stored(line, target).code == 1
        assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize("options", ["", "--deadline 60"])
def test_a_file_that_is_replaced_keeps_its_mode_and_a_new_one_follows_the_umask(stored, tmp_path, options):
    secret, new = tmp_path / "secret", tmp_path / "new"
    secret.write_text("older")
    before = os.umask(0o027)
    try:
        for path, mode in ((secret, 0o600), (secret, 0o444), (new, 0o640)):
            if path.exists():
                path.chmod(mode)
            assert stored(f"object save c o {options} --file", path).code == 0
            assert (path.read_bytes(), path.stat().st_mode & 0o7777) == (b"hello\n", mode)
    finally:
        os.umask(before)
