import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Conflict, aggregate, defineProjection, query, t } from '../src/index.js';
import { RecordingTx, ask, captureLog, event, run } from '../src/testing.js';

const money = t.object({ cents: t.bigint });
const accounts = aggregate('Account', { events: { MoneyDeposited: money, MoneyWithdrawn: money }, upcast: { MoneyDeposited: { 1: ({ euros }) => ({ cents: euros * 100 }) } } });

/** Has one event answered; tells what came of it. */
function answered(handler, { tx = new RecordingTx(), fields } = {}) {
  const projection = defineProjection({ name: 'test', mode: 'catch-up', on: { Asked: handler } });
  run(projection, tx, [event('Other'), event('Asked', {}, fields)]);
  return tx.appended;
}

test('a stream is loaded in types, and appended to where it is as it was', () => {
  const tx = new RecordingTx();
  tx.given('Account', '1', event('MoneyDeposited', { euros: 7 }), event('Opened'), event('MoneyWithdrawn', { cents: 9007199254740993n }));
  tx.given('Account', '2', event('MoneyDeposited', { cents: 1 }, { schemaVersion: 2 }));
  const appended = answered(
    (event, tx) => {
      const account = accounts.load(tx, event, '1');
      assert.deepEqual(account.events.map(({ type, data, version, aggregateId }) => ({ type, data, version, aggregateId })), [
        { type: 'MoneyDeposited', data: { cents: 700n }, version: 1, aggregateId: '1' },
        { type: 'MoneyWithdrawn', data: { cents: 9007199254740993n }, version: 3, aggregateId: '1' },
      ]);
      assert.equal(account.version, 3);
      assert.equal(account.append({ type: 'MoneyWithdrawn', data: { cents: 2n ** 60n }, topic: 'money' }, { type: 'MoneyDeposited', data: { cents: 1n } }), 5);
      assert.equal(account.append({ type: 'MoneyWithdrawn', data: { cents: 1n } }), 6);
      const [last] = accounts.load(tx, event, '1', { after: 5 }).events;
      assert.deepEqual([last.data, last.causationId, last.correlationId], [{ cents: 1n }, event.id, event.correlationId]);
    },
    { tx, fields: { correlationId: '00000000-0000-7000-8000-0000000000aa' } },
  );
  const about = { tenant: 'default', aggregate: 'Account', id: '1' };
  assert.deepEqual(appended, [
    { ...about, type: 'MoneyWithdrawn', data: { cents: 2n ** 60n }, schemaVersion: 1, topic: 'money' },
    { ...about, type: 'MoneyDeposited', data: { cents: 1 }, schemaVersion: 2 },
    { ...about, type: 'MoneyWithdrawn', data: { cents: 1 }, schemaVersion: 1 },
  ]);
});

test('a long stream is read to its end', () => {
  const tx = new RecordingTx();
  tx.given('Account', '1', ...Array.from({ length: 2_500 }, () => event('MoneyWithdrawn', { cents: 1 })));
  answered((event, tx) => {
    const { events, version } = accounts.load(tx, event, '1');
    assert.deepEqual([events.length, version], [2_500, 2_500]);
  }, { tx });
});

test('streams are those of the tenant of the cause', () => {
  const tx = new RecordingTx();
  tx.given('Account', '1', event('MoneyWithdrawn', { cents: 1 }, { tenant: 'acme' }));
  const count = (event, tx) => accounts.append(tx, event, '1', { type: 'MoneyWithdrawn', data: { cents: BigInt(accounts.load(tx, event, '1').events.length) } });
  answered(count, { tx });
  answered(count, { tx, fields: { tenant: 'acme' } });
  assert.deepEqual(tx.appended.map(({ tenant, data }) => [tenant, data.cents]), [['default', 0], ['acme', 1]]);
});

test('a conflict can be caught, and is otherwise a retry', () => {
  const tx = new RecordingTx();
  tx.given('Account', '1', event('MoneyWithdrawn', { cents: 1 }));
  const withdrawn = { type: 'MoneyWithdrawn', data: { cents: 5n } };
  answered((event, tx) => {
    assert.throws(() => accounts.append(tx, event, '1', withdrawn, { expected: 0 }), (error) => error instanceof Conflict && error.version === 1 && error.index === event.index);
    accounts.append(tx, event, '1', withdrawn, { expected: 1 });
    accounts.append(tx, event, '1', withdrawn);
  }, { tx });
  assert.equal(tx.appended.length, 2);
  assert.throws(() => answered((event, tx) => accounts.append(tx, event, '1', withdrawn, { expected: 7 }), { tx }), { kind: 'retry', message: /the stream has version 3, which is not/ });
  tx.failAppend('conflict', 9);
  assert.throws(() => answered((event, tx) => accounts.append(tx, event, '1', withdrawn), { tx }), { kind: 'retry', message: /version 9/ });
});

test('what the log refuses blames the event, and a lost transaction stays lost', () => {
  const withdrawn = { type: 'MoneyWithdrawn', data: { cents: 5n } };
  for (const [reason, kind] of [['denied', 'poison'], ['invalid', 'poison'], ['limit', 'poison'], ['database', 'retry']]) {
    const tx = new RecordingTx();
    tx.failAppend(reason, 'so it is');
    assert.throws(() => answered((event, tx) => accounts.append(tx, event, '1', withdrawn), { tx }), { kind, index: 0, message: `${reason}: so it is` });
    tx.failAppend(reason);
    const swallow = (event, tx) => {
      try {
        accounts.append(tx, event, '1', withdrawn);
      } catch {
        // As if nothing had happened.
      }
    };
    if (reason === 'database') assert.throws(() => answered(swallow, { tx }), { kind: 'retry' });
    else assert.deepEqual(answered(swallow, { tx }), []);
  }
});

test('an event that nobody could read is not appended', () => {
  captureLog();
  for (const [event, words] of [
    [{ type: 'MoneyWithdrawn', data: { cents: 'many' } }, /the new event MoneyWithdrawn of Account: field `cents`: expected an integer, found the text "many"/],
    [{ type: 'MoneyWithdrawn' }, /missing field `cents`/],
    [{ type: 'MoneyBurnt' }, /Account has no event MoneyBurnt, only MoneyDeposited, MoneyWithdrawn/],
  ]) {
    const tx = new RecordingTx();
    assert.throws(() => answered((cause, tx) => accounts.append(tx, cause, '1', event), { tx }), { kind: 'poison', message: words });
    assert.deepEqual(tx.appended, []);
  }
  assert.throws(() => answered((cause, tx) => accounts.append(tx, cause, '1', [], { expected: -1 })), { kind: 'fatal', message: /a whole number from 0/ });
});

test('an event of a stream that does not fit blames the cause', () => {
  const tx = new RecordingTx();
  tx.given('Account', '1', event('MoneyWithdrawn', { cents: 'x' }));
  assert.throws(() => answered((event, tx) => void accounts.load(tx, event, '1'), { tx }), { kind: 'poison', index: 0, message: /MoneyWithdrawn .* \(stream Account\/1\) can't be read: field `cents`/ });
});

test('a query does not append', () => {
  const it = query({}, (tx) => accounts.load(tx, { index: 0 }, '1').events);
  const projection = defineProjection({ name: 'test', on: { Opened() {} }, queries: { it } });
  assert.throws(() => ask(projection, new RecordingTx(), 'it'), { kind: 'fatal', message: /a query reads/ });
});

test('an aggregate that is not sound says why', () => {
  assert.throws(() => aggregate('Account', { event: {} }), { message: 'aggregate Account: there is no `event`, only events, upcast' });
  assert.throws(() => aggregate('Account', { upcast: { A: {} } }), { message: /`upcast` has for A no steps/ });
});
