import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { componentWit } from '@bytecodealliance/jco';

const SDK = fileURLToPath(new URL('..', import.meta.url));
const folders = [];

after(() => folders.forEach((folder) => rmSync(folder, { recursive: true })));

/** A plugin's folder with these files. */
function plugin(files) {
  const folder = mkdtempSync(join(tmpdir(), 'eventfabric-test-'));
  folders.push(folder);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

function build(folder, ...more) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(SDK, 'bin/eventfabric-sdk.js'), 'build', '--dir', folder, '--out', join(folder, 'build/test.wasm'), ...more],
    { encoding: 'utf8' },
  );
  return { status, stdout, stderr };
}

const INDEX = "import { defineProjection } from '@eventfabric/sdk';\nexport default defineProjection({ name: 'test', on: { Opened() {} } });\n";
const MIGRATION = { 'migrations/001_create_tests.sql': 'CREATE TABLE tests (id text PRIMARY KEY)' };
const TSCONFIG = JSON.stringify({
  compilerOptions: { strict: true, noEmit: true, module: 'nodenext', target: 'es2022', types: [], paths: { '@eventfabric/sdk': [join(SDK, 'types/index.d.ts')] } },
  include: ['src'],
});

test('what is wrong with a plugin is said', () => {
  for (const [files, words] of [
    [{}, /error: src\/index\.ts or src\/index\.js is not in .*--entry/],
    [{ 'src/index.ts': INDEX }, /there is no tsconfig\.json/],
    [{ 'src/index.js': INDEX }, /there is no folder .*migrations: a projection's tables are made by files/],
    [{ 'src/index.js': INDEX, 'migrations/README': '' }, /has no file such as 001_create_accounts\.sql/],
    [{ 'src/index.js': INDEX, 'migrations/create.sql': '' }, /create\.sql: a migration's file is named by number and purpose/],
    [{ 'src/index.js': 'export const x = 1;' }, /src\/index\.js has to export a projection by default/],
    [{ 'src/index.js': INDEX.replace("'test'", "'Test'") }, /src\/index\.js cannot be loaded: defineProjection: the name `Test` is not one/],
    [{ 'src/index.js': INDEX.replace('Opened()', 'async Opened()') }, /the handler of Opened is asynchronous/],
    [{ 'src/index.js': `import 'node:fs';\n${INDEX}` }, /"node:fs" is a part of Node\.js: a plugin has no files[^]*src\/index\.js:1:7:/],
    [{ 'src/index.js': `import 'net';\n${INDEX}` }, /"net" is a part of Node\.js/],
    [{ 'src/index.js': `import 'nowhere';\n${INDEX}` }, /Could not resolve "nowhere"/],
    [{ 'src/index.js': 'export default {' }, /Expected identifier but found end of file[^]*src\/index\.js:1:16:/],
  ]) {
    const { status, stderr } = build(plugin(files));
    assert.equal(status, 1, stderr);
    assert.match(stderr.replaceAll('\\', '/'), words);
    assert.doesNotMatch(stderr, /at .*build\.js/, 'no stack of the SDK');
  }
});

test('types are checked, and events have those of their schemas', () => {
  const source = `
    import { type Event, defineProjection, poison, sql, t } from '@eventfabric/sdk';
    type Account = { Opened: { owner: string }; Closed: {} };
    defineProjection<Account>({ name: 'a', on: { Opened: (event) => { const owner: string = event.data.owner; } } });
    defineProjection<Account>({ name: 'a', on: { Opened: (event) => { const owner: number = event.data.owner; } } }); // 5
    defineProjection<Account>({ name: 'a', on: { Moved() {} } }); // 6
    defineProjection<Account>({ name: 'a', on: { async Opened() {} } }); // 7
    const events = { Opened: t.object({ owner: t.string, age: t.optional(t.integer) }), Closed: t.unknown };
    defineProjection({ name: 'a', events, on: { Opened(event, tx) { tx.run(sql\`INSERT \${event.data.owner}\`); }, Closed() {} } });
    defineProjection({ name: 'a', events, on: { Opened(event) { const age: string = event.data.age; }, Closed() {} } }); // 10
    defineProjection({ name: 'a', events, batch(events, tx) { for (const e of events) if (e.type === 'Opened') e.data.owner.length; } });
    defineProjection({ name: 'a', events, batch(events, tx) { for (const e of events) e.data.owner; } }); // 12
    defineProjection({ name: 'a', on: { Opened(event, tx) { tx.run('DELETE FROM a'); } } }); // 13
    defineProjection({ name: 'a', on: { Opened(event, tx) { tx.run(sql\`INSERT \${undefined}\`); } } }); // 14
    defineProjection({ name: 'a', on: { Opened(event, tx) { const n: number = tx.scalar(sql\`SELECT 1\`, t.bigint); } } }); // 15
    export default defineProjection({ name: 'a', on: {} });
  `;
  const { status, stderr } = build(plugin({ 'src/index.ts': source, 'tsconfig.json': TSCONFIG, ...MIGRATION }));
  assert.equal(status, 1);
  const lines = [...stderr.matchAll(/src\/index\.ts\((\d+),/g)].map(([, line]) => Number(line));
  assert.deepEqual([...new Set(lines)], [5, 6, 7, 10, 12, 13, 14, 15], stderr);
  assert.match(stderr, /error: the types are wrong: see above/);
});

test('a plugin in plain JavaScript is built, and the same source gives the same bytes', async () => {
  const folder = plugin({ 'src/index.js': INDEX, ...MIGRATION });
  const [first, second] = [0, 1].map(() => {
    const { status, stdout, stderr } = build(folder);
    assert.deepEqual([status, stdout, stderr], [0, '', '']);
    return readFileSync(join(folder, 'build/test.wasm'));
  });
  assert.deepEqual(first.subarray(0, 8), Buffer.from('\0asm\x0d\0\x01\0'), 'a component');
  assert.ok(first.equals(second));
  assert.deepEqual((await componentWit(first)).match(/(?<=import )\S+(?=;)/g), ['log', 'config', 'sql', 'types'].map((name) => `eventfabric:projection/${name}@0.1.0`));
});

test('the contract in the package is the one that was released', () => {
  const here = readFileSync(join(SDK, 'wit/projection.wit'), 'utf8');
  assert.equal(here, readFileSync(join(SDK, '../../wit/released/0.1.0/projection.wit'), 'utf8'));
});

test('a wrong command says how it is used', () => {
  const { status, stderr } = build('.', '--nonsense');
  assert.equal(status, 2);
  assert.match(stderr, /--nonsense[^]*eventfabric-sdk build --out FILE/);
});
