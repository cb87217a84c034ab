#!/bin/sh
# Makes the bindings anew, here or in another folder, from the WIT: with wit-bindgen 0.61.1
# (`cargo install wit-bindgen-cli --version 0.61.0 --locked`).
set -eu
cd "$(dirname "$0")"
to=${1:-.}
wit=../../../wit
# The object says what the functions of the contract mean. What the others mean `eventfabric plugin build` adds where the
# module has them.
wit-bindgen c --autodrop-borrows yes $wit/released/0.1.0 --out-dir "$to"
wit-bindgen c --autodrop-borrows yes --no-object-file $wit/released/0.1.0 $wit/query $wit/process-manager $wit/reactor \
    plugin.wit --world eventfabric:sdk/projection --out-dir "$to"
# These are exports in a plugin that has queries, and only there: EF_EXPORT_QUERIES makes them.
sed -i '/__export_name__("\(cabi_post_\)\?eventfabric:query/d' "$to/projection.c"
