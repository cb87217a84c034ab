#!/bin/sh
# Makes the bindings anew, in `wit` or another folder, from the WIT: with wit-bindgen 0.61.1
# (`cargo install wit-bindgen-cli --version 0.61.0 --locked`) and gofmt.
# `witpkg` is the run-time package of the bindings: `wit/runtime` and `wit/types` of the folder `src/pkg` in the crate
# wit-bindgen-go 0.61.1, without types for async functions.
set -eu
cd "$(dirname "$0")"
to=${1:-wit}
module=eventfabric.dev/eventfabric/internal
wit=../../../wit
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

generate() { # what goes by the name of the folder
    folder=$1
    shift
    wit-bindgen go "$@" --pkg-name $module/wit --out-dir "$work/$folder" --format=false
}
generate contract $wit/released/0.1.0
for world in queries imports; do
    generate $world $wit/released/0.1.0 $wit/query $wit/process-manager $wit/reactor extensions.wit --world eventfabric:sdk/$world
done

mkdir -p "$to"
cp -r "$work"/contract/* "$to"
cp -r "$work/imports/eventfabric_process_manager_event_store" "$work/imports/eventfabric_reactor_outgoing" "$to"
cp -r "$work/queries/eventfabric_query_queries" "$to"
# A package that exports: who does not import it has a component without queries.
mkdir -p "$to/query_exports"
cp "$work"/queries/wit_exports/* "$to/query_exports"
find "$to" -name '*.go' -exec sed -i "s#go.bytecodealliance.org/pkg/wit#$module/witpkg#" {} +
gofmt -w "$to"
