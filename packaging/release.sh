#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the files of a release from the current commit, and tries them: packaging/release.sh [FOLDER]
#
# Two builds in two places, with other clocks and file times, give the same bytes. The wheel alone runs the sandbox in an
# environment of its own, from which the bill of materials is read. Nothing is sent anywhere.
set -eu

project=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mkdir -p "${1:-$project/dist}" && cd "${1:-$project/dist}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_QUIET=1
SOURCE_DATE_EPOCH=$(git -C "$project" log -1 --format=%ct)
export SOURCE_DATE_EPOCH
umask 022

python3 -m venv "$work/tools"
"$work/tools/bin/pip" install build twine

build() { # name
    mkdir -p "$work/$1/tree"
    git -C "$project" archive HEAD | tar -x -C "$work/$1/tree"
    # The times of files are those of whoever checks them out.
    find "$work/$1/tree" -exec touch {} +
    "$work/tools/bin/python" -m build --outdir "$work/$1/dist" "$work/$1/tree" >"$work/$1/log" 2>&1 ||
        { cat "$work/$1/log"; return 1; }
}

build one
build two
for file in "$work"/one/dist/*; do
    cmp "$file" "$work/two/dist/$(basename "$file")"
    sha256sum "$file" | sed "s#$work/one/dist/##"
done
echo "both builds are the same"

"$work/tools/bin/twine" check --strict "$work"/one/dist/*
"$work/tools/bin/python" "$project/packaging/contents.py" "$work/one/dist"

python3 -m venv "$work/clean"
wheel=$(ls "$work"/one/dist/*.whl)
"$work/clean/bin/pip" install "$wheel[sandbox]"
echo "Dear reader," >"$work/letter.txt"
(cd "$work" && clean/bin/python -m oio.sandbox demo letter.txt)

# What the library itself needs, without extras.
python3 -m venv "$work/bare"
"$work/bare/bin/pip" install "$wheel"
"$work/bare/bin/python" "$project/packaging/sbom.py" >"$work/one/dist/sbom.cdx.json"

rm -rf "$work/one/dist/"*.log
cp "$work"/one/dist/* "$folder"
echo "in $folder:"
ls -l "$folder"
