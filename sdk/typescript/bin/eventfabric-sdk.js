#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { BuildError, build } from '../src/build.js';

const USAGE = `eventfabric-sdk build --out FILE [--dir FOLDER] [--entry FILE]

Builds the component of a projection: checks the types, bundles the entry with the migrations,
and puts it into WebAssembly.

  --out FILE     what to write, such as build/accounts.wasm
  --dir FOLDER   the plugin's folder, where that is not this one
  --entry FILE   the module that exports the projection by default [src/index.ts or src/index.js]`;

/** @type {(why: string) => never} */
function usage(why) {
  console.error(`error: ${why}\n\n${USAGE}`);
  process.exit(2);
}

const options = /** @type {const} */ ({ out: { type: 'string' }, dir: { type: 'string' }, entry: { type: 'string' }, help: { type: 'boolean', short: 'h' } });

function read() {
  try {
    return parseArgs({ options, allowPositionals: true });
  } catch (error) {
    return usage(/** @type {Error} */ (error).message);
  }
}

const { values, positionals } = read();
if (values.help) {
  console.log(USAGE);
} else if (positionals.length !== 1 || positionals[0] !== 'build') {
  usage(`what to do? There is \`build\` alone`);
} else if (!values.out) {
  usage('what to write? Give --out FILE');
} else {
  try {
    await build({ out: values.out, dir: values.dir, entry: values.entry });
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
}
