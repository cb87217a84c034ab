import { readFile } from 'node:fs/promises';

import { componentNew, metadataAdd, preview1AdapterReactorPath } from '@bytecodealliance/jco';

import { quicker } from './bindings.js';
import { snapshot } from './snapshot.js';

const ENGINE = new URL('../lib/', import.meta.resolve('@bytecodealliance/componentize-js'));

/**
 * Puts a module into WebAssembly: the engine SpiderMonkey runs it once, and what it has made is kept
 * in the component. This is what `componentize` of componentize-js does, but for the bindings, which
 * are made quicker, and for what a projection does not need.
 *
 * @param {string} code
 * @param {{wit: string, world: string}} contract the path of its text, and the name in it
 * @returns {Promise<Uint8Array>}
 */
export async function componentize(code, { wit, world }) {
  const { splicer } = await import(new URL('spidermonkey-embedding-splicer.js', ENGINE).href);
  const engine = await readFile(new URL('starlingmonkey_embedding.wasm', ENGINE));
  // No features: what is left out is not imported.
  const { wasm, jsBindings, exports, imports } = splicer.spliceBindings(engine, [], undefined, wit, world, false);

  /** @type {Record<string, string>} */
  const env = { DEBUG: '', SOURCE_NAME: 'plugin.js', EXPORT_CNT: String(exports.length), IMPORT_CNT: String(imports.length), FEATURE_CLOCKS: '' };
  for (const [n, [name, { paramptr, params, retptr, ret, retsize }]] of exports.entries()) {
    env[`EXPORT${n}_NAME`] = name;
    env[`EXPORT${n}_ARGS`] = (paramptr ? '*' : '') + params.join(',');
    env[`EXPORT${n}_RET`] = (retptr ? '*' : '') + (ret ?? '');
    env[`EXPORT${n}_RETSIZE`] = String(retsize);
  }
  for (const [n, [, name, count]] of imports.entries()) {
    env[`IMPORT${n}_NAME`] = name;
    env[`IMPORT${n}_ARGCNT`] = String(count);
  }
  const ready = await snapshot(wasm, {
    initializer: 'componentize.wizer',
    files: { 'initializer.js': quicker(jsBindings), 'plugin.js': code },
    env,
    stdin: '--initializer-script-path /initializer.js --strip-path-prefix / /plugin.js',
  });
  const core = atTheEpoch(() => splicer.stubWasi(ready, [], undefined, wit, world));
  const adapter = await readFile(preview1AdapterReactorPath());
  const component = await componentNew(core, [['wasi_snapshot_preview1', adapter]]);
  return metadataAdd(component, [['language', [['JavaScript', '']]]]);
}

/** The time of the build would become a part of the component. @param {() => Uint8Array} work */
function atTheEpoch(work) {
  const { now } = Date;
  Date.now = () => 0;
  try {
    return work();
  } finally {
    Date.now = now;
  }
}
