#!/usr/bin/env bash
# Takes a picture of every page that the browser tests look at, light, dark and 320 px wide, into a folder (target/screens
# unless another is given), and renews those that the documentation shows. Needs what scripts/test.sh installs.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-$PWD/target/screens}
mkdir -p "$folder"
RESCIND_SCREENS=$folder cargo test --locked --test browser
grep -ohE 'screens/[a-z0-9-]+\.png' README.md docs/*.md | sort -u | while read -r shown; do
    cp "$folder/$(basename "$shown")" "docs/$shown"
done
