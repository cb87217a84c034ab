import assert from 'node:assert/strict';
import { test } from 'node:test';

import { defineProjection, sql, t } from '../src/index.js';
import { RecordingTx, captureLog, event, run } from '../src/testing.js';

/** Has one handler handle events of the type Counted. */
function handle(on, events = [event('Counted')], tx = new RecordingTx()) {
  run(defineProjection({ name: 'test', on: { Counted: on } }), tx, events);
  return tx;
}

/** What the batch fails with. */
function failure(on, events, tx) {
  try {
    handle(on, events, tx);
  } catch (error) {
    return error;
  }
  assert.fail('the batch should have failed');
}

const insert = (n) => sql`INSERT INTO seen VALUES (${n})`;

test('a read sees what was queued before it', () => {
  const db = new RecordingTx();
  db.answer('SELECT', [{ n: 2n }]);
  handle((_, tx) => {
    tx.run(insert(1));
    tx.run(insert(2));
    assert.equal(db.roundTrips, 0);
    assert.equal(tx.scalar(sql`SELECT count(*) FROM seen`), 2n);
  }, undefined, db);
  assert.deepEqual(db.calls, [
    { statement: 'INSERT INTO seen VALUES ($1)', params: [1] },
    { statement: 'INSERT INTO seen VALUES ($1)', params: [2] },
    { statement: 'SELECT count(*) FROM seen', params: [] },
  ]);
  assert.equal(db.roundTrips, 2);
});

test('a full queue is written out', () => {
  const db = new RecordingTx();
  handle((_, tx) => {
    for (let n = 0; n < 999; n++) tx.run(insert(n));
    assert.equal(db.roundTrips, 0);
    tx.run(insert(999));
    assert.equal(db.roundTrips, 1);
    tx.run(insert('x'.repeat(1 << 20)));
    assert.equal(db.roundTrips, 2);
    tx.run(insert(new Uint8Array(1 << 20)));
    assert.equal(db.roundTrips, 3);
  }, undefined, db);
  assert.equal(db.roundTrips, 3);
});

test('a statement is sent once, however often it is used', () => {
  const db = new RecordingTx();
  let sent;
  db.backend.executeBatch = (statements, calls) => (sent = { statements, calls: calls.map(({ statement }) => statement) });
  handle((_, tx) => {
    tx.run(insert(1));
    tx.run(sql`DELETE FROM seen`);
    tx.run(insert(2));
  }, undefined, db);
  assert.deepEqual(sent, { statements: ['INSERT INTO seen VALUES ($1)', 'DELETE FROM seen'], calls: [0, 1, 0] });
});

test('a queued write that fails is blamed on its event', () => {
  const db = new RecordingTx();
  db.fail('third', { kind: 'constraint', sqlstate: '23505', message: 'duplicate key', detail: 'Key (id)=(3).', position: 13 });
  const events = [event('Counted', { text: 'first' }), event('Counted', { text: 'third' }), event('Counted', { text: 'last' })];
  const error = failure(({ data }, tx) => tx.run(sql.of(`INSERT INTO ${data.text} VALUES ($1)`, [1])), events, db);
  assert.deepEqual([error.kind, error.index], ['poison', 1]);
  assert.equal(
    error.message,
    'duplicate key (SQLSTATE 23505)\ndetail: Key (id)=(3).\nstatement: INSERT INTO third VALUES ($1)\nat character 13: third VALUES ($1)',
  );
});

test('the kind of a failure follows from what the database said', () => {
  const kinds = { retryable: 'retry', connection: 'retry', constraint: 'poison', denied: 'fatal', invalid: 'fatal', limit: 'fatal', aborted: 'fatal' };
  for (const [kind, expected] of Object.entries(kinds)) {
    const db = new RecordingTx();
    db.fail('seen', { kind });
    assert.equal(failure((_, tx) => tx.execute(insert(1)), undefined, db).kind, expected, kind);
  }
});

test('a failed transaction fails for good, even if the error is swallowed', () => {
  const db = new RecordingTx();
  db.fail('INSERT', { kind: 'constraint', sqlstate: '23505', message: 'duplicate key' });
  let first;
  const error = failure((_, tx) => {
    try {
      tx.execute(insert(1));
    } catch (error) {
      first = error;
    }
    assert.throws(() => tx.run(insert(2)), first);
    assert.throws(() => tx.query(sql`SELECT 1`), first);
  }, undefined, db);
  assert.equal(error.message, first.message);
  assert.deepEqual(db.calls.map(({ params }) => params), [[1]]);
});

test('one row is one row', () => {
  const select = sql`SELECT n FROM seen`;
  const ask = (rows, question) => {
    const db = new RecordingTx();
    db.answer('SELECT', rows);
    return failure((_, tx) => question(tx), undefined, db);
  };
  const [none, two] = [[], [{ n: 1 }, { n: 2 }]];
  for (const question of [(tx) => tx.one(select), (tx) => tx.scalar(select)]) {
    assert.equal(ask(none, question).message, 'no row where one is expected: SELECT n FROM seen');
    assert.equal(ask(two, question).message, '2 rows where one is expected: SELECT n FROM seen');
    assert.equal(ask(two, question).kind, 'fatal');
  }
  assert.equal(ask(two, (tx) => tx.optional(select)).message, '2 rows where one is expected: SELECT n FROM seen');
  handle((_, tx) => assert.equal(tx.optional(select), null));
});

test('rows that are not what their schema says are fatal and name the column', () => {
  const read = (row, question) => {
    const db = new RecordingTx();
    db.answer('SELECT', [row]);
    return failure((_, tx) => question(tx), undefined, db);
  };
  const select = sql`SELECT * FROM seen`;
  const schema = t.object({ n: t.bigint });
  for (const [row, words] of [
    [{ n: 'x' }, 'column `n`: expected an integer, found the text "x"\nstatement: SELECT * FROM seen'],
    [{ n: null }, 'column `n`: expected an integer, found null\nstatement: SELECT * FROM seen'],
    [{ m: 1 }, 'missing column `n`\nstatement: SELECT * FROM seen'],
  ]) {
    const error = read(row, (tx) => tx.one(select, schema));
    assert.deepEqual([error.kind, error.message], ['fatal', words]);
  }
  assert.match(read({ n: 'x' }, (tx) => tx.scalar(select, t.bigint)).message, /^column `n`: expected an integer/);
});

test('a text is no statement', () => {
  const error = failure((_, tx) => tx.run('DELETE FROM seen'));
  assert.equal(error.kind, 'fatal');
  assert.match(error.message, /a statement is sql`…`/);
});

test('what nobody has foreseen is poison, and its stack is logged', () => {
  const lines = captureLog();
  const error = failure(() => null.field, [event('Counted')]);
  assert.deepEqual([error.kind, error.index], ['poison', 0]);
  assert.match(error.message, /^TypeError: Cannot read properties of null/);
  assert.equal(lines.length, 1);
  assert.equal(lines[0].level, 'error');
  assert.match(lines[0].message, /tx\.test\.js/);
});

test('a parameter that is undefined is named', () => {
  captureLog();
  const error = failure(({ data }, tx) => tx.run(sql`INSERT INTO seen VALUES (${1}, ${data.nothing})`));
  assert.equal(error.message, 'TypeError: parameter $2: it is undefined: write null for NULL');
});
