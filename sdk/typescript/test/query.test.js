import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Timestamp, defineProjection, poison, query, sql, t, table } from '../src/index.js';
import { RecordingTx, ask, captureLog } from '../src/testing.js';

const define = (queries) => defineProjection({ name: 'test', on: { Opened() {} }, queries });

/** What a query answers, or its failure. */
function answer(of, { tx = new RecordingTx(), description = {}, params } = {}) {
  try {
    return ask(define({ it: query(description, of) }), tx, 'it', params);
  } catch (error) {
    return error;
  }
}

test('a description says what the host lists', () => {
  const projection = define({
    balance: query({ text: 'Of an account', params: { account: { type: 'text', text: 'Which' }, at: 'timestamptz?' }, perTenant: true }, () => []),
    all: query({}, () => []),
  });
  assert.deepEqual(projection.describeQueries(), [
    {
      name: 'balance',
      text: 'Of an account',
      parameters: [
        { name: 'account', text: 'Which', type: 'text', required: true },
        { name: 'at', text: '', type: 'timestamptz', required: false },
      ],
      perTenant: true,
    },
    { name: 'all', text: '', parameters: [], perTenant: false },
  ]);
});

test('a description that is not sound says why', () => {
  const answer = () => [];
  for (const [queries, words] of [
    [{ byOwner: query({}, answer) }, /the query `byOwner` has no name that it can have: \[a-z\]/],
    [{ it: query({ params: { Owner: 'text' } }, answer) }, /the query `it`: the parameter `Owner` has no name that it can have/],
    [{ it: query({ params: { owner: 'string' } }, answer) }, /the query `it`: the type `string` of `owner` is not one of boolean, int64/],
    [{ it: query({ parameters: {} }, answer) }, /the query `it`: there is no `parameters`, only text, params, perTenant/],
    [{ it: query({}, async () => []) }, /the query `it` is asynchronous/],
    [{ it: query({}) }, /the query `it` has no function/],
    [{ it: answer }, /the query `it` is not made by query/],
  ]) {
    assert.throws(() => define(queries), { message: words });
  }
});

test('parameters come in types of JavaScript, and the tenant where it is asked for', () => {
  const given = { b: true, i: -(2n ** 63n), f: 0.5, n: '12.50', s: 'x', u: '00000000-0000-7000-8000-000000000001', at: Timestamp.from('1969-12-31T23:59:59.999999Z'), d: '0099-01-02' };
  const params = { b: 'boolean', i: 'int64', f: 'float64', n: 'numeric', s: 'text', u: 'uuid', at: 'timestamptz', d: 'date', none: 'text?' };
  let seen;
  const projection = define({ it: query({ params }, (...all) => void (seen = all) ?? []), own: query({ perTenant: true }, (...all) => void (seen = all) ?? []) });
  ask(projection, new RecordingTx(), 'it', given);
  assert.deepEqual(seen.slice(1), [given]);
  ask(projection, new RecordingTx(), 'own', {}, { tenant: 'acme' });
  assert.deepEqual(seen.slice(1), [{}, 'acme']);
});

test('the double checks parameters as the host does', () => {
  const description = { params: { account: 'text', limit: 'int64?' } };
  assert.match(answer(() => [], { description }).message, /the parameter account is missing/);
  assert.match(answer(() => [], { description, params: { account: 'x', more: 1 } }).message, /there is no parameter more/);
  assert.deepEqual(answer(() => [], { description, params: { account: 'x', limit: undefined } }), []);
  assert.throws(() => ask(define({}), new RecordingTx(), 'it'), { kind: 'poison', message: 'no query `it`' });
});

test('rows that were read are handed through as they came', () => {
  const projection = define({ it: query({}, (tx) => tx.query(sql`SELECT`)), some: query({}, (tx) => tx.query(sql`SELECT`).filter(({ n }) => n > 1)) });
  const raw = { columns: ['n', 'r'], rows: [1, 2].map((n) => [{ tag: 'int16', val: n }, { tag: 'float32', val: Math.fround(0.1) }]) };
  const backend = { query: () => raw };
  const request = { name: 'it', tenant: 'default', parameters: [] };
  assert.deepEqual(projection.query(backend, request), raw);
  assert.deepEqual(projection.query(backend, { ...request, name: 'some' }), { columns: ['n', 'r'], rows: [raw.rows[1]] });
  const empty = { columns: ['n', 'r'], rows: [] };
  assert.deepEqual(projection.query({ query: () => empty }, request), empty, 'the columns of no rows');
});

test('rows that were made are written by their columns', () => {
  const made = (rows) => answer(() => rows);
  assert.deepEqual(made([{ a: 1, b: 'x' }, { b: null, a: 2n ** 60n }]), [{ a: 1, b: 'x' }, { a: 2n ** 60n, b: null }]);
  assert.match(made([{ a: 1 }, { b: 2 }]).message, /row 2 of the answer has the columns b, and the first one a/);
  assert.match(made([{ a: undefined }]).message, /column `a` of row 1 of the answer: it is undefined/);
  const tx = new RecordingTx();
  tx.answer('one', [{ a: 1n }]);
  tx.answer('two', [{ a: 2n }]);
  assert.deepEqual(answer((tx) => [...tx.query(sql`one`), ...tx.query(sql`two`), { a: 3n }], { tx }), [{ a: 1n }, { a: 2n }, { a: 3n }]);
  tx.answer('one', [{ a: 1n }]);
  assert.deepEqual(answer((tx) => tx.query(sql`one`, t.object({ a: t.integer })), { tx }), [{ a: 1 }]);
});

test('what is no rows is the fault of the plugin', () => {
  for (const nothing of [undefined, {}, [1], [null]]) {
    const error = answer(() => nothing);
    assert.deepEqual([error.kind, /has not answered with rows/.test(error.message)], ['fatal', true], error.message);
  }
  assert.match(answer(() => Promise.resolve([])).message, /the query `it` is asynchronous/);
});

test('a query only reads', () => {
  const accounts = table('accounts', 'id');
  for (const write of [(tx) => tx.run(sql`DELETE`), (tx) => tx.execute(sql`DELETE`), (tx) => accounts.delete(tx, { id: 1 })]) {
    const tx = new RecordingTx();
    const error = answer((tx) => write(tx) ?? [], { tx });
    assert.deepEqual([error.kind, error.message], ['fatal', 'a query reads and nothing else: write where events are handled']);
    assert.equal(tx.roundTrips, 0);
  }
});

test('rows that were read cannot be changed', () => {
  const tx = new RecordingTx();
  tx.answer('SELECT', [{ a: 1n }]);
  const lines = captureLog();
  const error = answer((tx) => tx.query(sql`SELECT`).map((row) => Object.assign(row, { a: 2n })), { tx });
  assert.deepEqual([error.kind, /read.only/.test(error.message), lines.length], ['fatal', true, 1]);
});

test('failures of a query are by hand, of the database, or of nobody', () => {
  const by = answer(() => poison('the airport `X` is none'));
  assert.deepEqual([by.kind, by.message, by.index], ['poison', 'the airport `X` is none', undefined]);
  const lines = captureLog();
  const unforeseen = answer(() => [].x.y);
  assert.deepEqual([unforeseen.kind, lines.length], ['fatal', 1]);
  assert.match(unforeseen.message, /^TypeError: /);
  const tx = new RecordingTx();
  tx.fail('SELECT', { kind: 'connection' });
  const swallowed = (tx) => {
    try {
      tx.query(sql`SELECT`);
    } catch {
      // As if nothing had happened.
    }
    return [];
  };
  assert.equal(answer(swallowed, { tx }).kind, 'retry');
});
