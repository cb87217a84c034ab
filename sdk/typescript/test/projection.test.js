import assert from 'node:assert/strict';
import { test } from 'node:test';

import { z } from 'zod';

import { config, defineProjection, fatal, log, poison, retry, sql, t } from '../src/index.js';
import { RecordingTx, captureLog, event, run, setConfig } from '../src/testing.js';

/** What the data of an event becomes, or the failure. */
function read(definition, raw) {
  let data;
  const projection = defineProjection({ name: 'test', on: { Opened: (event) => void (data = event.data) }, ...definition });
  try {
    run(projection, new RecordingTx(), [raw]);
  } catch (error) {
    return error;
  }
  return data;
}

test('a payload that does not fit is poison, and names event and field', () => {
  const schema = t.object({ owner: t.string, home: t.optional(t.object({ rooms: t.array(t.integer) })) });
  const cases = [
    [{}, 'missing field `owner`'],
    [{ owner: 7 }, 'field `owner`: expected a text, found 7'],
    [{ owner: 'Ada', home: { rooms: [1, 'two'] } }, 'field `home.rooms[1]`: expected an integer up to 2^53, found the text "two"'],
    [{ owner: 'Ada', home: null }, 'field `home`: expected an object, found null'],
  ];
  for (const [data, words] of cases) {
    const error = read({ events: { Opened: schema } }, event('Opened', data));
    assert.deepEqual([error.kind, error.index], ['poison', 0]);
    assert.equal(error.message, `the payload of Opened version 1 at position 1 (stream Test/1) can't be read: ${words}`);
  }
  const fits = { owner: 'Ada', home: { rooms: [1] } };
  assert.deepEqual(read({ events: { Opened: schema } }, event('Opened', { ...fits, more: 1 })), fits);
});

test('schemas of other libraries are taken', () => {
  const opened = z.object({ owner: z.string(), rooms: z.array(z.number()).default([]) });
  assert.deepEqual(read({ events: { Opened: opened } }, event('Opened', { owner: 'Ada' })), { owner: 'Ada', rooms: [] });
  const misfit = read({ events: { Opened: opened } }, event('Opened', { owner: 'Ada', rooms: ['x'] }));
  assert.equal(misfit.kind, 'poison');
  assert.match(misfit.message, /field `rooms\[0\]`: Invalid input: expected number/);

  const parses = { parse: (value) => value.owner ?? assert.fail('no owner') };
  assert.equal(read({ events: { Opened: parses } }, event('Opened', { owner: 'Ada' })), 'Ada');
  assert.match(read({ events: { Opened: parses } }, event('Opened')).message, /can't be read: no owner/);
});

test('schemas convert what has a type of its own', () => {
  const schema = t.object({ id: t.bigint, at: t.timestamp, day: t.date, kind: t.literal('a', 'b'), label: t.nullable(t.string), of: t.record(t.union(t.boolean, t.number)) });
  const data = { id: 7, at: '2013-01-01T10:15:00Z', day: '2013-01-01', kind: 'b', of: { x: true, y: 1 } };
  const result = read({ events: { Opened: schema } }, event('Opened', data));
  assert.deepEqual({ ...result, at: result.at.micros }, { ...data, id: 7n, at: 1357035300000000n, label: null });
  const misfit = read({ events: { Opened: schema } }, event('Opened', { ...data, of: { x: 'no' } }));
  assert.match(misfit.message, /field `of\.x`: expected true or false or a number, found the text "no"/);
});

test('without a schema the payload comes as it is, with exact integers', () => {
  assert.deepEqual(read({}, event('Opened', { id: 9007199254740993n })), { id: 9007199254740993n, type: 'Opened', version: 1 });
});

test('an event carries what the log knows of it', () => {
  const fields = { position: 9n, id: 'x', tenant: 'acme', aggregate: 'Account', aggregateId: '42', version: 3, schemaVersion: 2, correlationId: 'c' };
  let seen;
  const projection = defineProjection({ name: 'test', on: { Opened: (event) => void (seen = event) } });
  run(projection, new RecordingTx(), [event('Opened', {}, { ...fields, occurredAt: new Date(-1) })]);
  for (const [field, value] of Object.entries(fields)) assert.equal(seen[field], value, field);
  assert.deepEqual([seen.type, seen.index, seen.causationId, String(seen.occurredAt)], ['Opened', 0, null, '1969-12-31T23:59:59.999000Z']);
  assert.equal(seen.payload, '{"type":"Opened","version":2}');
});

test('older schema versions are lifted step by step', () => {
  const mark = ({ seen = 0, bad, ...rest }) => (bad ? poison('a bad payload') : { ...rest, seen: seen + 1 });
  const upcast = { Opened: { 2: mark, 1: mark } };
  assert.deepEqual(read({ upcast }, event('Opened', { big: 9007199254740993n })), { big: 9007199254740993n, seen: 2, type: 'Opened', version: 3 });
  assert.deepEqual(read({ upcast }, event('Opened', {}, { schemaVersion: 3 })), { type: 'Opened', version: 3 });
  for (const [steps, raw, words] of [
    [upcast, event('Opened', {}, { schemaVersion: 4 }), /schema version is newer than this plugin, which knows it up to 3: deploy a newer/],
    [{ Opened: { 3: mark } }, event('Opened'), /nothing lifts schema version 1 to 2, on the way to 4/],
    [upcast, event('Opened', { bad: true }), /the upcaster from schema version 1: a bad payload/],
  ]) {
    const error = read({ upcast: steps }, raw);
    assert.deepEqual([error.kind, error.index], ['poison', 0]);
    assert.match(error.message, words);
  }
});

test('failures by hand have their kind and their event', () => {
  for (const [kind, fail] of Object.entries({ retry, poison, fatal })) {
    const projection = defineProjection({ name: 'test', on: { Opened: ({ index }) => (index === 1 ? fail('by hand') : undefined) } });
    assert.throws(() => run(projection, new RecordingTx(), [event('Opened'), event('Opened')]), { kind, index: 1, message: 'by hand' });
  }
});

test('a batch is handled as one, and blames whom it names', () => {
  const projection = defineProjection({
    name: 'test',
    types: ['Opened', 'Closed'],
    batch(events, tx) {
      for (const event of events) tx.run(sql`INSERT INTO seen VALUES (${event.type})`);
      if (events.length > 1) poison('too many', events[1]);
    },
  });
  const tx = new RecordingTx();
  run(projection, tx, [event('Opened'), event('Moved')]);
  assert.deepEqual(tx.callsOf('seen'), [['Opened']]);
  assert.throws(() => run(projection, tx, [event('Opened'), event('Closed')]), { kind: 'poison', index: 1 });
});

test('handlers are synchronous', () => {
  assert.throws(() => defineProjection({ name: 'test', on: { async Opened() {} } }), /the handler of Opened is asynchronous/);
  assert.throws(() => defineProjection({ name: 'test', batch: async () => {} }), /the handler of batch is asynchronous/);
  const error = read({ on: { Opened: () => Promise.resolve() } }, event('Opened'));
  assert.equal(error.kind, 'fatal');
  assert.match(error.message, /the handler of Opened is asynchronous/);
  const slow = { '~standard': { version: 1, vendor: 'test', validate: async (value) => ({ value }) } };
  captureLog();
  assert.match(read({ events: { Opened: slow } }, event('Opened')).message, /validates asynchronously/);
});

test('a definition that is not sound says why', () => {
  const on = { Opened() {} };
  for (const [definition, words] of [
    [{ name: 'Accounts', on }, /the name `Accounts` is not one/],
    [{ name: 'test', on, mode: 'sync' }, /the mode `sync` is not one of inline, catch-up, async/],
    [{ name: 'test' }, /either `on` .* or `batch`/],
    [{ name: 'test', on, batch() {} }, /either `on` .* or `batch`/],
    [{ name: 'test', on: { Opened: 1 } }, /the handler of Opened is no function/],
    [{ name: 'test', on, events: { Closed: t.unknown } }, /a schema for Closed, and `on` no handler/],
    [{ name: 'test', on, handlers: {} }, /there is no `handlers`, only name, text/],
    [{ name: 'test', on, topics: { include: ['a'], exclude: ['b'] } }, /either included or excluded/],
    [{ name: 'test', on, upcast: { Opened: { x: () => ({}) } } }, /`upcast` has for Opened no steps/],
    [{ name: 'test', on, types: ['Opened'] }, /`types` is for `batch`/],
  ]) {
    assert.throws(() => defineProjection(definition), { message: words });
  }
});

test('what a plugin says of itself', () => {
  const describe = (definition) => defineProjection({ name: 'test', on: { A() {}, B() {} }, ...definition }).describe([]);
  assert.deepEqual(describe({}), { name: 'test', text: '', mode: 'async', topics: { tag: 'all' }, eventTypes: ['A', 'B'], migrations: [] });
  assert.deepEqual(describe({ topics: { include: ['x'] } }).topics, { tag: 'include', val: ['x'] });
  assert.deepEqual(describe({ topics: { exclude: ['x'] } }).topics, { tag: 'exclude', val: ['x'] });
  assert.deepEqual(describe({ on: undefined, batch() {} }).eventTypes, []);
  assert.deepEqual(describe({ on: undefined, batch() {}, events: { C: t.unknown } }).eventTypes, ['C']);
});

test('settings are those of the operator', () => {
  setConfig({ late: '15', region: 'eu' });
  assert.equal(config.get('region'), 'eu');
  assert.equal(config.get('nothing'), undefined);
  assert.deepEqual(config.all(), { late: '15', region: 'eu' });
  assert.equal(config.parse('late', Number), 15);
  assert.equal(config.parse('nothing', Number), undefined);
  const wrong = () => config.parse('region', (text) => t.integer.parse(text));
  assert.throws(wrong, { kind: 'fatal', message: 'the setting `region` = `eu`: expected an integer up to 2^53, found the text "eu"' });
});

test('lines go to the log with their level', () => {
  const lines = captureLog();
  for (const level of ['trace', 'debug', 'info', 'warn', 'error']) log[level](`this is ${level}`);
  assert.deepEqual(lines[3], { level: 'warn', message: 'this is warn' });
  assert.equal(lines.length, 5);
});
