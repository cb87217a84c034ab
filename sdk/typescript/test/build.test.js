import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { componentWit, transpile } from '@bytecodealliance/jco';

import { event } from '../src/testing.js';

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
    import { type Event, type Handler, type Tx, aggregate, defineProjection, http, query, sql, t } from '@eventfabric/sdk';
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
    query({ params: { id: 'text', n: 'int64?', at: { type: 'timestamptz' } } }, (tx, { id, n, at }) => tx.query(sql\`SELECT \${[id.length, n ?? 1n, at.micros]}\`));
    query({ params: { n: 'int64?' } }, (tx, { n }) => [{ n: n + 1n }]); // 18
    query({ params: { n: 'integer' } }, () => []); // 19
    query({ params: { n: 'int64' } }, (tx, { m }) => []); // 20
    query({}, (tx, params, tenant) => []); // 21
    query({ perTenant: true }, (tx, params, tenant) => [{ at: tenant.length }]);
    query({}, (tx) => { tx.run(sql\`DELETE FROM a\`); return []; }); // 23
    query({}, async () => []); // 24
    const accounts = aggregate('Account', { events: { Opened: t.object({ owner: t.string }), Closed: t.unknown } });
    on(({ tx, event }) => { for (const it of accounts.load(tx, event, '1').events) if (it.type === 'Opened') it.data.owner.length; });
    on(({ tx, event }) => { accounts.load(tx, event, '1').append({ type: 'Opened', data: { owner: 'x' } }, { type: 'Closed' }); });
    on(({ tx, event }) => { accounts.append(tx, event, '1', { type: 'Opened' }); }); // 28
    on(({ tx, event }) => { accounts.append(tx, event, '1', { type: 'Opened', data: { owner: 1 } }); }); // 29
    on(({ tx, event }) => { accounts.append(tx, event, '1', { type: 'Moved', data: {} }); }); // 30
    on(({ event }) => { const n: number = http.get(event, 'https://a.b').errorForStatus().json(t.object({ n: t.number })).n; });
    on(({ event }) => { http.get(event, 'https://a.b', { retries: 3 }); }); // 32
    const opened: Handler<'Opened', { owner: string }> = (event) => void event.data.owner.length;
    defineProjection({ name: 'a', on: { Opened: opened } });
    defineProjection({ name: 'a', on: { Closed: opened }, events: { Closed: t.unknown } }); // 35
    defineProjection({ name: 'a', events: { Opened: t.object({ owner: t.number }) }, on: { Opened: opened } }); // 36
    function on(_: (it: { tx: Tx; event: Event }) => void) {}
  `;
  const { status, stderr } = build(plugin({ 'src/index.ts': source, 'tsconfig.json': TSCONFIG, ...MIGRATION }));
  assert.equal(status, 1);
  const lines = [...stderr.matchAll(/src\/index\.ts\((\d+),/g)].map(([, line]) => Number(line));
  assert.deepEqual([...new Set(lines)], [5, 6, 7, 10, 12, 13, 14, 15, 18, 19, 20, 21, 23, 24, 28, 29, 30, 32, 35, 36], stderr);
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

test('a component has those extensions of the contract that the plugin uses, and they work', async () => {
  const source = `
    import { Conflict, aggregate, defineProjection, http, query, sql } from '@eventfabric/sdk';
    const accounts = aggregate('Account');
    export default defineProjection({
      name: 'test',
      on: {
        Opened(event, tx) {
          const account = accounts.load(tx, event, '1');
          const [{ type, data, occurredAt }] = account.events;
          try {
            account.append({ type: 'Closed', data, topic: 'mail' });
          } catch (error) {
            if (!(error instanceof Conflict)) throw error;
            const answer = http.post(event, 'https://example.com/' + error.version, { json: { type, occurredAt }, timeout: 5 });
            tx.run(sql\`INSERT \${answer.text()}, \${answer.headers.get('x-a')}\`);
          }
        },
      },
      queries: { it: query({ params: { n: 'int64', day: 'date?' }, perTenant: true }, (tx, { n, day }, tenant) => tx.query(sql\`SELECT \${[n]}, \${day ?? null}, \${tenant}\`)) },
    });
  `;
  const folder = plugin({ 'src/index.js': source, ...MIGRATION });
  const { status, stderr } = build(folder);
  assert.deepEqual([status, stderr], [0, '']);
  const wit = await componentWit(readFileSync(join(folder, 'build/test.wasm')));
  const names = (word) => [...wit.matchAll(new RegExp(`(?<=${word} )eventfabric:(?!projection)\\S+(?=;)`, 'g'))].map(([name]) => name).sort();
  assert.deepEqual(names('import'), ['eventfabric:process-manager/event-store@0.1.0', 'eventfabric:reactor/outgoing@0.1.0']);
  assert.deepEqual(names('export'), ['eventfabric:query/queries@0.1.0']);

  const { files } = await transpile(readFileSync(join(folder, 'build/test.wasm')), { name: 'test', instantiation: 'sync' });
  writeFileSync(join(folder, 'test.mjs'), files['test.js']);
  const { instantiate } = await import(pathToFileURL(join(folder, 'test.mjs')).href);
  const calls = [];
  const rows = { columns: ['f', 'n'], rows: [[{ tag: 'float32', val: Math.fround(0.1) }, { tag: 'null' }]] };
  class Tx {
    query = (...call) => calls.push(['query', ...call]) && rows;
    executeBatch = (...call) => calls.push(['executeBatch', ...call]) && new BigUint64Array(1);
  }
  const raw = { ...event('Opened', { owner: 'Ada' }, { position: 7n }), correlationId: undefined };
  const component = instantiate((path) => new WebAssembly.Module(files[path]), {
    'eventfabric:projection/sql': { Tx },
    'eventfabric:projection/log': { write: (...line) => calls.push(line) },
    'eventfabric:projection/config': { get() {}, all: () => [] },
    'eventfabric:process-manager/event-store': {
      load: (_, ...call) => calls.push(['load', ...call]) && { events: [raw], version: 1, more: false },
      append(_, ...call) {
        calls.push(['append', ...call]);
        throw Object.assign(new Error(), { payload: { tag: 'conflict', val: 9 } });
      },
    },
    'eventfabric:reactor/outgoing': {
      send: (...call) => calls.push(['send', ...call]) && { status: 202, headers: [['x-a', 'b']], body: new TextEncoder().encode('gut') },
    },
  });
  component.handle(new Tx(), [raw]);
  assert.deepEqual(calls.splice(0), [
    ['load', 0, 'Account', '1', 0, 1000],
    ['append', 0, 'Account', '1', { tag: 'exact', val: 1 }, [{ eventType: 'Closed', schemaVersion: 1, payload: raw.payload, topic: 'mail' }]],
    [
      'send',
      0,
      {
        method: 'post',
        url: 'https://example.com/9',
        headers: [['content-type', 'application/json']],
        body: new TextEncoder().encode('{"type":"Opened","occurredAt":"2026-01-01T00:00:00Z"}'),
        timeoutMs: 5,
      },
    ],
    ['executeBatch', ['INSERT $1, $2'], [{ statement: 0, params: ['gut', 'b'].map((val) => ({ tag: 'text', val })) }]],
  ]);
  const { describeQueries, query } = component['eventfabric:query/queries@0.1.0'];
  const [n, day] = [
    { name: 'n', text: '', type: 'int64', required: true },
    { name: 'day', text: '', type: 'date', required: false },
  ];
  assert.deepEqual(describeQueries(), [{ name: 'it', text: '', parameters: [n, day], perTenant: true }]);
  const request = { name: 'it', tenant: 'acme', parameters: [['n', { tag: 'int64', val: 2n ** 62n }]] };
  assert.deepEqual(query(new Tx(), request), rows);
  const params = [{ tag: 'int64-array', val: [2n ** 62n] }, { tag: 'null', val: undefined }, { tag: 'text', val: 'acme' }];
  assert.deepEqual(JSON.stringify(calls, shown), JSON.stringify([['query', 'SELECT $1, $2, $3', params]], shown));
  assert.throws(() => query(new Tx(), { ...request, name: 'no' }), ({ payload }) => payload.kind === 'poison' && payload.message === 'no query `no`');
});

/** Arrays of numbers may be typed ones. */
function shown(_, value) {
  if (typeof value === 'bigint') return `${value}n`;
  return ArrayBuffer.isView(value) ? [...value] : value;
}

// The bindings are generated from these files in each build.
test('the contract in the package is the one of the host', () => {
  const wit = (file) => readFileSync(join(SDK, '../../wit', file), 'utf8');
  for (const [file, original] of [
    ['projection.wit', 'released/0.1.0/projection.wit'],
    ['query.wit', 'query/query.wit'],
    ['process-manager.wit', 'process-manager/process-manager.wit'],
    ['reactor.wit', 'reactor/reactor.wit'],
  ]) {
    assert.equal(readFileSync(join(SDK, 'wit', file), 'utf8'), wit(original), file);
  }
});

test('a wrong command says how it is used', () => {
  const { status, stderr } = build('.', '--nonsense');
  assert.equal(status, 2);
  assert.match(stderr, /--nonsense[^]*eventfabric-sdk build --out FILE/);
});
