/** @import {Migration} from './raw.js' */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createRequire, isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import * as esbuild from 'esbuild';

import { componentize } from './componentize.js';
import { extensionsOf, worldOf } from './extensions.js';
import { Projection } from './projection.js';
import { lineTable, originalStack } from './stack.js';

const SDK = fileURLToPath(new URL('..', import.meta.url));
const PACKAGE = '@eventfabric/sdk';

/** What the author has to mend; it was told in full. */
export class BuildError extends Error {}

/**
 * Builds the component of the projection that the entry exports by default.
 *
 * @param {{out: string, dir?: string | undefined, entry?: string | undefined}} options
 */
export async function build({ out, dir = '.', entry }) {
  const folder = resolve(dir);
  const module = findEntry(folder, entry);
  if (/\.[cm]?tsx?$/.test(module)) checkTypes(folder);
  const temporary = await mkdtemp(join(tmpdir(), 'eventfabric-'));
  try {
    const { projection, modules } = await load(folder, module, temporary);
    const extensions = extensionsOf(projection, modules);
    const migrations = await readMigrations(folder, projection.definition.migrations ?? 'migrations');
    const exported = ['describe', 'handle', ...extensions.flatMap(({ exported }) => exported ?? [])].join(', ');
    const imported = extensions.flatMap(({ imported }) => imported ?? []);
    const hosts = imported.length > 0 ? `, { ${imported.map(({ name }) => name).join(', ')} }` : '';
    const { code, map } = await bundle(folder, {
      contents:
        `import projection from ${JSON.stringify(module)};\n` +
        `import { component } from ${JSON.stringify(`${PACKAGE}/component`)};\n` +
        imported.map(({ name, from }) => `import * as ${name} from ${JSON.stringify(from)};\n`).join('') +
        `export const { ${exported} } = component(projection, ${JSON.stringify(migrations)}${hosts});\n`,
      external: ['eventfabric:*'],
    });
    const lines = lineTable(map);
    const whole = `${code}\nglobalThis.eventfabricLines = ${JSON.stringify(lines)};\n`;
    const wasm = await componentize(whole, await worldOf(extensions, temporary)).catch((error) => {
      throw new BuildError(`error: the plugin fails when it is loaded, before its first event: ${reason(error, lines)}`);
    });
    await mkdir(dirname(resolve(out)), { recursive: true });
    await writeFile(out, wasm);
  } finally {
    await rm(temporary, { recursive: true });
  }
}

/**
 * @param {string} folder
 * @param {string | undefined} entry
 */
function findEntry(folder, entry) {
  const candidates = entry ? [entry] : ['src/index.ts', 'src/index.js'];
  const found = candidates.map((name) => resolve(folder, name)).find(existsSync);
  if (!found) throw new BuildError(`error: ${candidates.join(' or ')} is not in ${folder}: name the module that exports the projection with --entry`);
  return found;
}

/** Has tsc check the types, and print what is wrong as it does. @param {string} folder */
function checkTypes(folder) {
  if (!existsSync(join(folder, 'tsconfig.json'))) {
    throw new BuildError(`error: there is no tsconfig.json in ${folder}: the types cannot be checked without it`);
  }
  const { resolve: find } = createRequire(import.meta.url);
  const tsc = join(dirname(find('typescript/package.json')), 'bin', 'tsc');
  const { status, error } = spawnSync(process.execPath, [tsc, '--noEmit', '--project', '.'], { cwd: folder, stdio: ['ignore', 2, 2] });
  if (error) throw error;
  if (status !== 0) throw new BuildError('error: the types are wrong: see above');
}

/**
 * Runs the entry as it is, so that a wrong definition is found before the long part of the build.
 * Tells which modules of the SDK it needs, too.
 *
 * @param {string} folder
 * @param {string} module
 * @param {string} temporary
 */
async function load(folder, module, temporary) {
  const contents = `export * as entry from ${JSON.stringify(module)};\nexport { Projection } from ${JSON.stringify(`${PACKAGE}/internal`)};\n`;
  const { code, modules } = await bundle(folder, { contents, external: [] });
  const file = join(temporary, 'entry.mjs');
  await writeFile(file, code);
  const name = relative(folder, module);
  /** @type {{entry: {default?: unknown}, Projection: Function}} */
  let loaded;
  try {
    loaded = await import(pathToFileURL(file).href);
  } catch (error) {
    throw new BuildError(`error: ${name} cannot be loaded: ${error instanceof Error ? error.message : error}`);
  }
  const projection = loaded.entry.default;
  if (!(projection instanceof loaded.Projection)) {
    throw new BuildError(`error: ${name} has to export a projection by default: export default defineProjection({…})`);
  }
  return { projection: /** @type {Projection} */ (projection), modules };
}

/**
 * @param {string} folder
 * @param {{contents: string, external: string[]}} what
 */
async function bundle(folder, { contents, external }) {
  try {
    const { outputFiles, warnings, metafile } = await esbuild.build({
      logLevel: 'silent',
      stdin: { contents, resolveDir: folder, sourcefile: 'component.js' },
      outfile: join(folder, 'plugin.js'),
      absWorkingDir: folder,
      bundle: true,
      write: false,
      metafile: true,
      format: 'esm',
      platform: 'neutral',
      mainFields: ['module', 'main'],
      conditions: ['import', 'module'],
      target: 'es2022',
      sourcemap: 'external',
      external,
      plugins: [ownPackage, refuseNode],
    });
    if (warnings.length > 0) console.error(await formatted('warning', warnings));
    const text = (/** @type {string} */ end) => outputFiles.find(({ path }) => path.endsWith(end))?.text ?? '';
    let code = text('.js');
    const map = JSON.parse(text('.map'));
    // Where the SDK lies is nobody's business, and would make other bytes.
    map.sources = map.sources.map((/** @type {string} */ source) => {
      const path = resolve(folder, source);
      if (!path.startsWith(SDK)) return source;
      const name = `${PACKAGE}/${relative(SDK, path).replaceAll('\\', '/')}`;
      code = code.replace(`\n// ${source}\n`, `\n// ${name}\n`);
      return name;
    });
    const modules = new Set();
    for (const { inputs } of Object.values(metafile.outputs)) {
      for (const [file, { bytesInOutput }] of Object.entries(inputs)) {
        const path = relative(join(SDK, 'src'), resolve(folder, file));
        if (bytesInOutput > 0) modules.add(path);
      }
    }
    return { code, map, modules };
  } catch (error) {
    const { errors } = /** @type {Partial<esbuild.BuildFailure>} */ (error);
    throw errors ? new BuildError(`${await formatted('error', errors)}error: the plugin cannot be bundled: see above`) : error;
  }
}

/**
 * @param {'error' | 'warning'} kind
 * @param {esbuild.Message[]} messages
 */
async function formatted(kind, messages) {
  return (await esbuild.formatMessages(messages, { kind, color: process.stderr.isTTY ?? false })).join('');
}

/** The SDK is this one, wherever the plugin lies. @type {esbuild.Plugin} */
const ownPackage = {
  name: 'own-package',
  setup(build) {
    const modules = { '': 'index.js', '/testing': 'testing.js', '/component': 'component.js', '/internal': 'projection.js' };
    build.onResolve({ filter: /^@eventfabric\/sdk($|\/)/ }, ({ path }) => {
      const module = modules[/** @type {keyof typeof modules} */ (path.slice(PACKAGE.length))];
      return module ? { path: join(SDK, 'src', module) } : undefined;
    });
  },
};

/** @type {esbuild.Plugin} */
const refuseNode = {
  name: 'refuse-node',
  setup(build) {
    build.onResolve({ filter: /.*/ }, ({ path }) => {
      if (!isBuiltin(path)) return undefined;
      return { errors: [{ text: `"${path}" is a part of Node.js: a plugin has no files, sockets, processes, clock or chance, only its events and tx` }] };
    });
  },
};

/**
 * @param {string} folder
 * @param {string | readonly Migration[]} from
 * @returns {Promise<readonly Migration[]>}
 */
async function readMigrations(folder, from) {
  if (typeof from !== 'string') return from;
  const path = resolve(folder, from);
  if (!existsSync(path)) {
    throw new BuildError(`error: there is no folder ${path}: a projection's tables are made by files such as ${from}/001_create_accounts.sql`);
  }
  const files = (await readdir(path)).filter((name) => name.endsWith('.sql')).sort();
  if (files.length === 0) throw new BuildError(`error: ${path} has no file such as 001_create_accounts.sql`);
  return Promise.all(
    files.map(async (file) => {
      const parts = /^0*([1-9]\d*)_(.+)\.sql$/.exec(file);
      if (!parts) throw new BuildError(`error: ${join(path, file)}: a migration's file is named by number and purpose, such as 001_create_accounts.sql`);
      return { number: Number(parts[1]), name: parts[2].replaceAll('_', ' '), sql: await readFile(join(path, file), 'utf8') };
    }),
  );
}

/**
 * What the engine says about a module that it cannot run, by the author's files.
 *
 * @param {Error} error
 * @param {{sources: string[], lines: string}} lines
 */
function reason({ message }, lines) {
  const found = /^plugin\.js:\d+:\d+ (.*)$/m.exec(message);
  const frames = originalStack(message, lines);
  return found && frames ? `${found[1]}\n${frames}` : message;
}
