/** @import {Projection} from './projection.js' */

import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const WIT = fileURLToPath(new URL('../wit/', import.meta.url));

/**
 * An extension of the contract, which those plugins have that use it.
 *
 * @typedef {object} Extension
 * @property {string} wit the file that says what it is
 * @property {string} item what it adds to the world
 * @property {string} [exported] what the component's module exports for it
 * @property {{name: string, from: string}} [imported] what the host gives for it
 * @property {(projection: Projection, modules: Set<string>) => boolean} isUsed by a projection, in whose bundle are these modules of the SDK
 */

/** @type {readonly Extension[]} */
const EXTENSIONS = [
  {
    wit: 'query.wit',
    item: 'export eventfabric:query/queries@0.1.0;',
    exported: 'queries',
    isUsed: ({ queries }) => queries.size > 0,
  },
  {
    wit: 'process-manager.wit',
    item: 'import eventfabric:process-manager/event-store@0.1.0;',
    imported: { name: 'eventStore', from: 'eventfabric:process-manager/event-store@0.1.0' },
    isUsed: (_, modules) => modules.has('aggregate.js'),
  },
  {
    wit: 'reactor.wit',
    item: 'import eventfabric:reactor/outgoing@0.1.0;',
    imported: { name: 'outgoing', from: 'eventfabric:reactor/outgoing@0.1.0' },
    isUsed: (_, modules) => modules.has('http.js'),
  },
];

/**
 * @param {Projection} projection
 * @param {Set<string>} modules
 */
export function extensionsOf(projection, modules) {
  return EXTENSIONS.filter(({ isUsed }) => isUsed(projection, modules));
}

/**
 * The world that a plugin with these extensions lives in.
 *
 * @param {Extension[]} extensions
 * @param {string} folder where its text is put
 */
export async function worldOf(extensions, folder) {
  const [projection, world] = [join(WIT, 'projection.wit'), 'projection'];
  if (extensions.length === 0) return { wit: projection, world };
  const wit = join(folder, 'wit');
  await mkdir(join(wit, 'deps'), { recursive: true });
  for (const file of ['projection.wit', ...extensions.map(({ wit }) => wit)]) await copyFile(join(WIT, file), join(wit, 'deps', file));
  const items = ['include eventfabric:projection/projection@0.1.0;', ...extensions.map(({ item }) => item)];
  await writeFile(join(wit, 'plugin.wit'), `package eventfabric:plugin;\n\nworld projection {\n  ${items.join('\n  ')}\n}\n`);
  return { wit, world };
}
