# SPDX-License-Identifier: Apache-2.0
"""What a run of the benchmarks reports."""

import json
from xml.etree import ElementTree

import pytest

from benchmarks.cases import CASES, Case
from benchmarks.measure import Failed, Result, Side, Spread
from benchmarks.plots import plots
from benchmarks.report import COLUMNS, Run, as_json, rst, text

MIB = 1 << 20


def result(case, ours=0.002, bare=0.001):
    sides = [
        Side(Spread.of([time, 2 * time, 3 * time]), Spread.of([4 * time]), MIB, 3 * MIB, 120, 100)
        for time in (ours, bare)
    ]
    ratios = Spread.of([ours / bare])
    return Result(case, 3, 10, *sides, ratios, ratios)


RUN = Run(
    "python -m benchmarks",
    {"cpu": "one that counts"},
    [result(Case("put", "x3", 4096)), result(Case("head")), Failed(Case("get", "EC", MIB), "nobody answers")],
)


def test_names_of_cases_are_different():
    assert len({case.name for case in CASES}) == len(CASES)


def test_row_has_a_cell_for_each_column():
    first = text(RUN).splitlines()[3].split("  ")
    cells = [cell.strip() for cell in first if cell.strip()]
    assert len(cells) == len(COLUMNS)
    assert cells[0] == "put 4 KiB x3"
    assert cells[1] == "4 (2-6)"
    assert cells[3] == "2.00 (2.00-2.00)"
    assert cells[-1] == "120 / 120"


def test_case_that_failed_is_reported_with_its_reason():
    line = "get 1 MiB EC: not measured: nobody answers"
    assert line in text(RUN)
    assert as_json(RUN)["failed"] == [{"name": "get 1 MiB EC", "reason": "nobody answers"}]


def test_json_has_times_of_both_clients_and_ratios():
    found = json.loads(json.dumps(as_json(RUN)))
    first = found["results"][0]
    assert first["name"] == "put 4 KiB x3"
    assert first["ours"]["cpu"] == {"median": 0.004, "least": 0.002, "most": 0.006}
    assert first["bare"]["peak"] == 3 * MIB
    assert first["cpu_ratio"]["median"] == 2
    assert found["conditions"] == {"cpu": "one that counts"}


def test_table_of_the_documentation_says_how_it_was_made():
    lines = rst(RUN).splitlines()
    assert ".. Made by: python -m benchmarks" in lines
    assert "   * - put 4 KiB x3" in lines


def test_plots_have_a_line_for_each_policy_and_its_limit():
    sizes = [result(Case("put", policy, size)) for policy in ("x1", "EC") for size in (4096, MIB)]
    found = plots([*sizes, result(Case("put", "x3", 4096))])
    assert list(found) == ["throughput-put.svg"]
    drawing = ElementTree.fromstring(found["throughput-put.svg"])
    paths = [
        item.get("stroke-dasharray") for item in drawing.findall(".//{*}path") if item.get("fill") == "none"
    ]
    assert len(paths) == 4
    assert sum(dashes is not None for dashes in paths) == 2
    labels = [item.text for item in drawing.findall(".//{*}text")]
    assert {"x1", "EC", "4 KiB", "1 MiB"} <= set(labels)
    assert "x3" not in labels


def test_plot_of_concurrency_begins_with_one_operation_at_a_time():
    several = [Case("get", "x3", 4096, concurrency=16, threads=kind) for kind in ("green", "OS")]
    found = plots([result(Case("get", "x3", 4096)), *map(result, several)])
    drawing = ElementTree.fromstring(found["concurrency.svg"])
    labels = [item.text for item in drawing.findall(".//{*}text")]
    assert {"1", "16", "get, green threads", "get, OS threads"} <= set(labels)


@pytest.mark.parametrize(
    ("case", "name"),
    [
        (
            Case("range", "x3", 65536, whole=1 << 30, verify="server"),
            "range 64 KiB of 1 GiB x3, verify server",
        ),
        (Case("get", "EC", MIB, lost=3), "get 1 MiB EC, 3 lost"),
        (Case("put", "x3", 4096, concurrency=16, threads="OS"), "put 4 KiB x3, 16 OS threads"),
        (Case("delete_many", count=100), "delete_many 100"),
    ],
)
def test_name_of_a_case_says_what_it_is(case, name):
    assert case.name == name
