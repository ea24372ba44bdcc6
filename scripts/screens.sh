#!/usr/bin/env bash
# Takes the pictures in docs/screens: every page that the browser tests look at, light, dark and 320 px wide.
# Needs what scripts/test.sh installs.
set -euo pipefail
cd "$(dirname "$0")/.."
rm -rf docs/screens
mkdir -p docs/screens
RESCIND_SCREENS=$PWD/docs/screens cargo test --locked --test browser
