#!/bin/sh
# Makes the bindings anew, here or in another folder, from the WIT: with wit-bindgen 0.61.1
# (`cargo install wit-bindgen-cli --version 0.61.0 --locked`).
set -eu
cd "$(dirname "$0")"
wit-bindgen c --autodrop-borrows yes ../../../wit/released/0.1.0 --out-dir "${1:-.}"
