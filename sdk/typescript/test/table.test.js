import assert from 'node:assert/strict';
import { test } from 'node:test';

import { defineProjection, sql, table } from '../src/index.js';
import { RecordingTx, captureLog, event, run } from '../src/testing.js';

const counters = table('counters', 'key');

/** The calls that come of a handler. */
function calls(handler, { events = [event('Counted')], db = new RecordingTx() } = {}) {
  run(defineProjection({ name: 'test', on: { Counted: handler } }), db, events);
  return db.calls;
}

test('rows are written once, in the order of their keys', () => {
  const written = calls((_, tx) => {
    for (const key of [300, -1, 2n, 300, 2]) counters.increment(tx, { key }, { n: 1, m: 2 });
  });
  assert.deepEqual(written.map(({ params }) => params), [[-1, 2, 1], [2n, 4, 2], [300, 4, 2]]);
  assert.equal(
    written[0].statement,
    'INSERT INTO "counters" AS t ("key", "m", "n") VALUES ($1, $2, $3) ON CONFLICT ("key") DO UPDATE SET ' +
      '"m" = coalesce(t."m", 0) + EXCLUDED."m", "n" = coalesce(t."n", 0) + EXCLUDED."n"',
  );
});

test('rows with the same columns share a statement', () => {
  const written = calls((_, tx) => {
    counters.upsert(tx, { key: 1 }, { a: 1, b: 2 });
    counters.upsert(tx, { key: 2 }, { b: 3, a: 4 });
    counters.upsert(tx, { key: 3 });
  });
  assert.deepEqual(written.map(({ params }) => params), [[1, 1, 2], [2, 4, 3], [3]]);
  assert.equal(written[0].statement, written[1].statement);
  assert.match(written[2].statement, /DO NOTHING$/);
});

test('a statement that names the table keeps its place', () => {
  const written = calls((_, tx) => {
    tx.run(sql`INSERT INTO notes VALUES (1)`);
    counters.increment(tx, { key: 1 }, { n: 1 });
    tx.run(sql`INSERT INTO notes VALUES (2)`);
    tx.run(sql`DELETE FROM counters`);
    counters.increment(tx, { key: 1 }, { n: 1 });
    tx.run(sql`INSERT INTO notes VALUES (3)`);
  });
  const [note, insert] = ['INSERT INTO notes VA', 'INSERT INTO "counter'];
  assert.deepEqual(written.map(({ statement }) => statement.slice(0, 20)), [note, note, insert, 'DELETE FROM counters', note, insert]);
});

test('a read sees what was merged before it', () => {
  const written = calls((_, tx) => {
    counters.delete(tx, { key: 1 });
    counters.upsert(tx, { key: 1 }, { n: 1 });
    tx.query(sql`SELECT n FROM counters`);
  });
  assert.deepEqual(written.map(({ statement }) => statement.slice(0, 6)), ['DELETE', 'INSERT', 'SELECT']);
});

test('sums stay exact, and those that overflow are left to the database', () => {
  const largest = 2n ** 63n - 1n;
  const written = calls((_, tx) => {
    counters.increment(tx, { key: 1 }, { m: 1, n: largest });
    counters.increment(tx, { key: 1 }, { m: 1, n: 1 });
    counters.increment(tx, { key: 2 }, { n: Number.MAX_SAFE_INTEGER });
    counters.increment(tx, { key: 2 }, { n: 2 });
  });
  assert.deepEqual(written.map(({ params }) => params), [[1, 2, largest], [1, 1], [2, 9007199254740993n]]);
});

test('a row of one event is blamed on it, and a row of several on none', () => {
  for (const [keys, blamed] of [[[1, 2], 1], [[2, 2], undefined]]) {
    const db = new RecordingTx();
    if (blamed) db.answer('counters', []);
    db.fail('counters', { kind: 'constraint' });
    const events = keys.map((key) => event('Counted', { key }));
    const handler = ({ data }, tx) => counters.increment(tx, { key: data.key }, { n: 1 });
    assert.throws(() => calls(handler, { events, db }), (error) => error.kind === 'poison' && error.index === blamed);
  }
});

test('what does not belong to a row is refused and named', () => {
  captureLog();
  for (const [wrong, words] of [
    [(tx) => counters.increment(tx, { key: 1 }, { n: 0.5 }), /counters\.n: 0\.5 is not an integer/],
    [(tx) => counters.upsert(tx, { key: 1 }, { n: undefined }), /counters\.n: it is undefined/],
    [(tx) => counters.delete(tx, {}), /counters\.key: it is undefined/],
    [(tx) => counters.delete(tx, { key: 1, other: 2 }), /`other` is not in the key of the table counters \(key\)/],
  ]) {
    assert.throws(() => calls((_, tx) => wrong(tx)), { message: words });
  }
});

/** A table of keys and two counters, as the database would keep it. */
function apply(model, { statement, params: [key, ...values] }) {
  if (statement.startsWith('DELETE')) {
    model.delete(key);
    return;
  }
  const there = model.get(key);
  const columns = /\((.*?)\)/.exec(statement)[1].split(', ').slice(1);
  const row = there ?? {};
  columns.forEach((column, n) => {
    const adds = there !== undefined && statement.includes(`${column} = coalesce`);
    row[column] = adds ? (row[column] ?? 0) + values[n] : values[n];
  });
  model.set(key, row);
}

test('merged writes leave the rows that single ones leave', () => {
  // A generator of its own (xorshift32, Marsaglia 2003), so that a failure comes again.
  let state = 0x9e3779b9;
  const next = (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  for (let round = 0; round < 2000; round++) {
    const changes = Array.from({ length: next(12) }, () => [next(3), next(3), ['m', 'n'][next(2)], next(5) - 2]);
    const rows = (flushEach) => {
      const written = calls((_, tx) => {
        for (const [what, key, column, n] of changes) {
          if (what === 0) counters.increment(tx, { key }, { [column]: n });
          else if (what === 1) counters.upsert(tx, { key }, { [column]: n === 0 ? null : n });
          else counters.delete(tx, { key });
          if (flushEach) tx.flush();
        }
      });
      const model = new Map();
      for (const call of written) apply(model, call);
      return [[...model].sort(), written.length];
    };
    const [[alone, many], [merged, few]] = [rows(true), rows(false)];
    assert.deepEqual(merged, alone, JSON.stringify(changes));
    assert.ok(few <= many && few <= 6, `${few} of ${many}: ${JSON.stringify(changes)}`);
  }
});
