# SPDX-License-Identifier: Apache-2.0
"""The program itself: global options, formats, exit codes, errors, batches."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from oio import __version__
from oio.cli import main
from oio.common.configuration import NS_CONF_CACHE
from oio.sandbox import Fault


@pytest.fixture
def two(shell):
    shell.json("container create b1 a2")
    return shell


# --- formats


def test_rows_in_each_format(two):
    line = "container list -c Count -c Name"
    border = "+----------+----------+\n"
    assert two(line).out == (
        f"{border}| Name     |    Count |\n{border}| a2       |        0 |\n| b1       |        0 |\n{border}"
    )
    assert (
        two(f"{line} -f json --noindent").out == '[{"Name": "a2", "Count": 0}, {"Name": "b1", "Count": 0}]\n'
    )
    assert two(f"{line} -f csv").out == '"Name","Count"\n"a2",0\n"b1",0\n'
    assert two(f"{line} -f csv --quote none").out == "Name,Count\na2,0\nb1,0\n"
    assert two(f"{line} -f value").out == "a2 0\nb1 0\n"
    assert two(f"{line} -f yaml").out == "- Count: 0\n  Name: a2\n- Count: 0\n  Name: b1\n"
    assert two(f"{line} -f value --sort-column Name --sort-descending").out == "b1 0\na2 0\n"


def test_fields_in_each_format(two, account):
    line = "container show a2 -c objects -c account"
    assert f"| account  | {account:<8} |" in two(line).out
    assert two(f"{line} -f json --noindent").out == f'{{"account": "{account}", "objects": "0"}}\n'
    assert two(f"{line} -f value").out == f"{account}\n0\n"
    assert two(f"{line} -f shell --prefix x_").out == f'x_account="{account}"\nx_objects="0"\n'
    assert two(f"{line} -f yaml").out == f"account: {account}\nobjects: '0'\n"


def test_empty_lists(shell):
    shell.json("container create c")
    assert shell("object list c").out == "\n"
    assert shell("object list c -f json").out == "[]\n"
    assert shell("object list c -f value").out == ""
    assert "| Name |" in shell("object list c --print-empty").out


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("container list -f shell", 2),
        ("container show a2 -f csv", 2),
        ("container delete a2 -f json", 2),
        ("container list -c Nosuch", 1),
        ("container list -c Nosuch -c Name", 0),
        ("container list --nosuch", 2),
        ("container show", 2),
        ("object list a2 --limit x", 2),
        ("nosuch", 2),
        ("container", 2),
        ("container nosuch", 2),
        ("help", 0),
        ("help container show", 0),
        ("help container", 0),
        ("help nosuch", 1),
        ("--help", 0),
        ("container show --help", 0),
        ("--version", 0),
        ("complete", 0),
    ],
)
def test_exit_codes(two, line, code):
    ended = two(line)
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err


def test_what_is_unknown_is_told(two):
    ended = two("contaner list")
    assert (ended.code, ended.err) == (2, "")
    assert "'contaner list' is not an openio command" in ended.out
    assert "  container list\n" in ended.out
    assert "No recognized column names in ['Nosuch']" in two("container list -c Nosuch").err
    assert "openio container show: error: " in two("container show").err
    assert two("--version").out == f"openio {__version__}\n"


def test_help_lists_the_commands(shell):
    general = shell("--help").out
    for words in ("object cat", "container snapshot", "sync", "config", "sandbox run"):
        assert f"  {words} " in general
    assert "--range" in shell("object cat -h").out
    assert {line.split()[0] for line in shell("help container").out.splitlines() if line[:2] == "  "} == {
        "container"
    }


# --- global options


def test_global_options_are_anywhere_and_win_over_the_environment(namespace, shell, account):
    shell.set(OIO_NS=None, OIO_ACCOUNT="nosuch", OIO_PROXYD_URL="127.0.0.1:1")
    options = f"--account {account} --oio-proxy {namespace.endpoint}"
    assert shell(f"--ns {namespace.name} container create c {options}").code == 0
    assert shell(f"{options} container show --oio-ns {namespace.name} c").code == 0


@pytest.mark.parametrize(("variable", "option"), [("OIO_NS", "--ns"), ("OIO_ACCOUNT", "--account")])
def test_what_is_missing_is_named(shell, variable, option):
    shell.set(**{variable: None})
    ended = shell("container list")
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert variable in ended.err
    assert option in ended.err


def test_the_files_tell_the_proxy(namespace, shell, tmp_path, monkeypatch):
    (tmp_path / ".oio").mkdir()
    (tmp_path / ".oio" / "sds.conf").write_text(f"[{namespace.name}]\nproxy={namespace.endpoint[7:]}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("oio.common.configuration._SYSTEM_FILE", str(tmp_path / "none"))
    shell.set(OIO_PROXYD_URL=None)
    try:
        assert shell("cluster show").code == 0
        rows = {row["Setting"]: (row["Value"], row["Source"]) for row in shell.json("config")}
        conf = shell.json("cluster local conf")
    finally:
        NS_CONF_CACHE.pop(namespace.name, None)
    assert rows["namespace"] == (namespace.name, "variable OIO_NS")
    assert rows["proxy"] == (namespace.endpoint[7:], f"files: {tmp_path / '.oio' / 'sds.conf'}")
    assert conf == {f"{namespace.name}/proxy": namespace.endpoint[7:]}


def test_settings_are_printed_even_when_there_are_none(shell, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    shell.set(OIO_NS=None, OIO_ACCOUNT=None, OIO_PROXYD_URL=None)
    rows = shell.json("config -a mine")
    assert [tuple(row.values()) for row in rows] == [
        ("namespace", None, "not set"),
        ("account", "mine", "option --account"),
        ("proxy", None, "not set"),
    ]


def test_the_request_id_is_sent_and_told(shell, namespace):
    namespace.forget_requests()
    ended = shell("container show nosuch --request-id my-request")
    assert "reqid=my-request" in ended.err
    assert {dict(record.headers)["x-oio-req-id"] for record in namespace.requests} == {"my-request"}


def test_time_that_is_spent_is_told(shell, hello):
    ended = shell("object create c --dump-perfdata -f json", hello)
    assert ended.json[0]["Status"] == "Ok"
    assert "rawx" in json.loads(ended.err.partition("Performance data: ")[2])
    (row,) = shell.json("object create c --perfdata-column", hello)
    assert "rawx" in json.loads(row["Perfdata"])
    (row,) = json.loads(shell("object create c nofile --perfdata-column -f json").out)
    assert row["Perfdata"] is None
    assert shell("object cat c h.txt --dump-perfdata").out == "hello\n"


def test_time_that_a_directory_takes_is_told_for_each_server_and_not_for_each_chunk(shell, namespace, hello):
    ended = shell("object create c --dump-perfdata -f json", str(Path(hello).parent))
    figures = json.loads(ended.err.partition("Performance data: ")[2])["rawx"]
    assert [name for name in figures if "http" in name] == []
    assert [name for name in figures if "127.0.0.1" in name] != []


# --- errors


def test_an_error_is_one_line_with_a_hint(shell):
    ended = shell("container show nosuch")
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert "Container 'nosuch' does not exist. (Directory error: no such user) (reqid=" in ended.err
    assert "hint: see 'openio container list'" in ended.err


@pytest.mark.parametrize(
    ("line", "word", "told"),
    [
        ("object show c o", "--bad\n\x1b[2Jopt", "unrecognized arguments: --bad\\n\\x1b[2Jopt"),
        ("object cat c o --range", "2\n", "argument --range: must be FIRST-LAST, FIRST- or -LENGTH: '2\\n'"),
        ("container list --deadline", "1\n2", "argument --deadline: invalid seconds value: '1\\n2'"),
        ("container list", "--quiet=\n", "argument -q/--quiet: ignored explicit argument '\\n'"),
    ],
)
def test_bad_usage_is_told_in_one_line_after_the_usage(shell, line, word, told):
    ended = shell(line, word)
    usage, _, error = ended.err.rpartition("error: ")
    assert (ended.code, ended.out, error) == (2, "", f"{told}\n")
    assert usage.startswith("usage: openio")
    assert usage.rpartition("\n")[2] in {f"openio {' '.join(line.split()[:2])}: ", "openio: "}


def test_debug_adds_the_traceback(shell):
    ended = shell("container show nosuch --debug")
    assert ended.code == 1
    assert "Traceback (most recent call last)" in ended.err


def test_no_proxy(shell):
    shell.set(OIO_PROXYD_URL="127.0.0.1:1")
    ended = shell("container show c")
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    assert "--oio-proxy" in ended.err


def test_a_deadline_ends_the_command(shell, namespace):
    shell.json("container create c")
    with namespace.faults(Fault("stall", "proxy")):
        ended = shell("container show c --deadline 0.05")
    assert ended.code == 1
    assert ended.err.count("\n") == 1


def test_a_deadline_ends_the_move_of_a_directory(shell, namespace, tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "f").write_bytes(b"1")
    for line in ("sync {} oio://c --deadline {}", "object create c {} --deadline {}"):
        with namespace.faults(Fault("stall", "proxy")):
            ended = shell(line.format(tmp_path / "files", 0.05))
        assert ended.code == 1, line
        assert "deadline" in ended.err, line
        assert "Traceback" not in ended.err, line
        assert shell(line.format(tmp_path / "files", 60)).code == 0, line
    rows = shell.json(f"sync {tmp_path / 'files'} oio://other --exclude f --dry-run")
    assert rows == []
    rows = shell.json(f"sync {tmp_path / 'files'} oio://other --exclude * --include f --dry-run")
    assert [row["Name"] for row in rows] == ["f"]
    ended = shell(f"sync {tmp_path / 'files'} oio://c --request-id me")
    assert (ended.code, "--request-id is for single objects" in ended.err) == (1, True)


def test_logs_are_as_verbose_as_wanted_and_go_to_a_file(shell, tmp_path):
    log = tmp_path / "log"
    shell("container show nosuch --log-file", log)
    assert "ERROR    openio Container 'nosuch' does not exist." in log.read_text()
    shell.json("container create c")
    assert shell("container show c -vv").err.count("\n") >= shell("container show c").err.count("\n") == 0
    ended = shell("container show c --log-file", tmp_path / "none" / "log")
    assert (ended.code, "Traceback" in ended.err) == (1, False)
    assert logging.getLogger().level == logging.WARNING


def test_more_pages_are_told_with_verbose_only(shell, hello):
    shell.json("object create c", hello, "--name", "1")
    shell.json("object create c", hello, "--name", "2")
    assert shell("object list c --limit 1").err == ""
    assert "--marker '1'" in shell("object list c --limit 1 -v").err


# --- batches


def test_a_batch_runs_all_lines_whatever_fails(shell, account):
    script = (
        b"# a comment\n\ncontainer create 'a b' -f value\ncontainer show nosuch\nnosuch\n"
        b"container show\ncontainer list -f value -c Name\nquit\ncontainer create never\n"
    )
    ended = shell("", stdin=script)
    assert ended.code == 0
    assert ended.out.startswith("a b True\n")
    assert "a b\n\n" in ended.out
    assert "Container 'nosuch' does not exist." in ended.err
    assert shell("container list -f value -c Name").out == "a b\n"


def test_a_hash_within_a_line_of_a_batch_is_no_comment(shell, hello):
    for name in ("a", "a#b", "#"):
        assert shell("object create c", hello, "--name", name).code == 0
    assert shell("", stdin=b"  # object delete c a\nobject delete c a#b #\n").code == 0
    assert shell("object list c -f value -c Name").out == "a\n"


def test_a_batch_is_not_taken_for_the_data_of_an_object(shell, hello):
    assert shell("object create c --name o", hello).code == 0
    ended = shell("", stdin=b"object create c - --name o\nobject cat c o\n")
    assert "the standard input has the commands" in ended.err
    assert ended.out.endswith("hello\n\n")


def test_global_options_precede_a_batch(shell, account):
    shell.set(OIO_ACCOUNT=None)
    script = b"container create c -f value\ncontainer create 'unfinished\naccount list -f value\n"
    ended = shell(f"-a {account}", stdin=script)
    assert ended.code == 0
    assert "c True\n" in ended.out
    assert f"{account}\n" in ended.out
    assert "No closing quotation" in ended.err


def test_nothing_of_what_is_shown_is_run_by_the_shell_that_evaluates_it(shell, hello, tmp_path):
    name, key = '$(touch a)`touch b`\\"; touch c; "\\', "k;touch d;$(touch e)"
    assert shell("object create c", hello, "--name", name, "--property", f"{key}={name}").code == 0
    assert shell("account set", shell.account, "--property", f"k={name}").code == 0
    shown = shell("object show c -f shell", name).out
    assert 'meta.k_touch_d___touch_e_="' in shown
    shown = shown.replace("meta.", "meta_") + shell("account show -f shell", shell.account).out
    program = f'{shown}\nprintf %s "$object" > object; printf %s "$meta_k_touch_d___touch_e_" > value'
    place = tmp_path / "place"
    place.mkdir()
    subprocess.run(["sh", "-ec", program], cwd=place, check=True)
    assert {path.name: path.read_text() for path in place.iterdir()} == {"object": name, "value": name}


# --- transfers of directories


def test_sync_deletes_nothing_of_directories_whose_names_begin_alike(shell, tmp_path, hello):
    for name in ("photos/old", "photos-of-others/a", "photos.zip"):
        assert shell("object create c", hello, "--name", name).code == 0
    source = tmp_path / "source"
    source.mkdir()
    (source / "new").write_text("new")
    assert shell("sync --delete", source, "oio://c/photos").code == 0
    kept = shell("object list c -f value -c Name").out.split()
    assert kept == ["photos-of-others/a", "photos.zip", "photos/new"]


def test_sync_with_a_mistyped_prefix_deletes_nothing(shell, tmp_path, hello):
    assert shell("object create c", hello, "--name", "photos/h").code == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kept").write_text("1")
    ended = shell("sync oio://c/photo --delete", tmp_path / "mine")
    assert ended.code == 1
    assert "begins with the prefix of the source, 'photo/': nothing was deleted" in ended.err
    assert (tmp_path / "mine" / "kept").exists()


def test_directories_are_synchronised(shell, tmp_path, hello):
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("a")
    planned = shell.json("sync --dry-run", source, "oio://c/p/")
    assert planned == [{"Action": "upload", "Name": "p/a", "Size": 1, "Outcome": "planned"}]
    assert shell.json("sync", source, "oio://c/p/")[0]["Outcome"] == "done"
    assert shell.json("sync", source, "oio://c/p/") == []
    (source / "a").unlink()
    (source / "b").write_text("b")
    assert shell("sync --delete --jobs 2", source, "oio://c/p/").code == 0
    assert shell("object list c -f value -c Name").out == "p/b\n"
    assert shell("sync oio://c/p/", tmp_path / "back").code == 0
    assert (tmp_path / "back" / "b").read_text() == "b"
    assert shell("sync", source, tmp_path / "back").code == 1
    assert shell("sync", tmp_path / "none", "oio://c").code == 1


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_is_shown_on_a_terminal_and_leaves_the_output_alone(shell, tmp_path, hello, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "a").write_text("a")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    shell.namespace.forget_requests()
    (row,) = shell.json("object create c", tmp_path / "site")
    assert row["Name"] == "site/a"
    assert "transfer" in terminal.getvalue()
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert shell("sync -q", tmp_path / "site", "oio://c/p/").code == 0
    assert sys.stderr.getvalue() == ""


# --- the process


def test_the_installed_command_and_the_module(namespace, account):
    environment = environment_of(namespace, account)
    program = Path(sys.executable).with_name("openio")
    for command in ([str(program)], [sys.executable, "-m", "oio"]):
        ended = subprocess.run(
            [*command, "object", "create", "c", "-", "--name", "o", "-f", "value"],
            input=b"\xff\x00",
            capture_output=True,
            env=environment,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, b"")
        assert ended.stdout.startswith(b"o 2 ")
        ended = subprocess.run(
            [*command, "object", "cat", "c", "o"], capture_output=True, env=environment, check=False
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"\xff\x00", b"")


def environment_of(namespace, account):
    return {
        **os.environ,
        "OIO_NS": namespace.name,
        "OIO_ACCOUNT": account,
        "OIO_PROXYD_URL": namespace.endpoint,
    }


@pytest.mark.parametrize("line", ["config", "--version", "--version -v", "--help"])
def test_a_closed_pipe_is_no_error(line):
    reading, writing = os.pipe()
    os.close(reading)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "oio", *line.split()]
    try:
        ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environment, check=False)
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_a_batch_whose_lines_are_no_text_runs_the_others(shell):
    script = b"container create l1 -f value\nobject show b caf\xe9\n\xff\xfe\ncontainer create l2 -f value\n"
    ended = shell("", stdin=script)
    assert (ended.code, "Traceback" in ended.err) == (0, False)
    assert ended.err.count("\n") == 1
    assert "l1 True\n" in ended.out
    assert r"openio: '\udcff\udcfe' is not an openio command." in ended.out
    assert ended.out.endswith("l2 True\n\n")


def test_a_batch_names_files_that_are_no_text(shell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open(b"caf\xe9", "wb") as file:
        file.write(b"coffee")
    shell("", stdin=b"object create c caf\xe9 --name coffee\n")
    assert shell("object cat c coffee").out == "coffee"


@pytest.mark.parametrize(
    ("line", "unwanted"),
    [
        ("--version", "cliff argparse oio.cli._app"),
        ("help container show", "oio.api eventlet urllib3 yaml rich oio.cli._account oio.cli._object"),
        (
            "container list -f value",
            "yaml prettytable rich oio.cli._account oio.cli._object oio.transfer",
        ),
        ("object show c o", "oio.cli._container oio.transfer oio.sandbox rich"),
    ],
)
def test_no_more_is_imported_than_a_command_needs(namespace, account, line, unwanted):
    program = (
        "import sys; opened = []; "
        "sys.addaudithook(lambda name, args: name == 'open' and opened.append(str(args[0]))); "
        "from oio.cli import main; main(sys.argv[2:]); "
        # Nor are all packages that are installed looked through.
        "sys.exit(' '.join(sorted(sys.modules.keys() & set(sys.argv[1].split()))) "
        "or ' '.join(path for path in opened if '-info' in path) or 0)"
    )
    command = [sys.executable, "-c", program, unwanted, *line.split()]
    ended = subprocess.run(command, capture_output=True, env=environment_of(namespace, account), check=False)
    assert ended.returncode == 0, ended.stderr


def test_importing_the_library_imports_no_cliff():
    program = "import sys, oio, oio.api.object_storage; sys.exit('cliff' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_without_cliff_the_reason_is_told():
    program = "import sys; sys.modules['cliff'] = None; from oio.cli import main; sys.exit(main(['config']))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "pip install 'openio-sdk[cli]'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_sandbox_gets_its_own_options(capsys):
    assert main(["sandbox", "run", "--rawx", "0"]) == 2
    assert "rawx=0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["sandbox", "chaos", "--help"])
    assert "--seconds" in capsys.readouterr().out
