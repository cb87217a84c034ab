#!/bin/sh
# Makes the bindings anew, in `wit` or another folder, from the WIT: with wit-bindgen 0.61.1
# (`cargo install wit-bindgen-cli --version 0.61.0 --locked`) and gofmt.
# `witpkg` is the run-time package of the bindings: `wit/runtime` and `wit/types` of the folder `src/pkg` in the crate
# wit-bindgen-go 0.61.1, without types for async functions.
set -eu
cd "$(dirname "$0")"
to=${1:-wit}
module=eventfabric.dev/eventfabric/internal
wit-bindgen go ../../../wit/released/0.1.0 --pkg-name $module/wit --out-dir "$to" --format=false
find "$to" -name '*.go' -exec sed -i "s#go.bytecodealliance.org/pkg/wit#$module/witpkg#" {} +
gofmt -w "$to"
