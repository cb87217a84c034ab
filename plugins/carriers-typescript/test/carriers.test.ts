import assert from 'node:assert/strict';
import { test } from 'node:test';

import { RecordingTx, event, run } from '@eventfabric/sdk/testing';

import carriers from '../src/index.js';

test('a batch is one upsert a carrier, in the order of the keys', () => {
  const tx = new RecordingTx();
  run(carriers, tx, [
    event('FlightDeparted', { carrier: 'UA', flight: 1545 }),
    event('FlightCancelled', { carrier: 'AA' }),
    event('FlightArrived', { carrier: 'UA', arr_delay: -12 }),
    event('FlightDeparted', { carrier: 'UA' }),
    event('FlightArrived', { carrier: 'UA', arr_delay: 40 }),
    event('FlightDiverted', { carrier: 'UA' }),
  ]);
  assert.deepEqual(tx.callsOf('INSERT INTO carriers'), [
    ['AA', 0, 0, 0, 1, 0],
    ['UA', 2, 2, 1, 0, 28],
  ]);
  assert.equal(tx.roundTrips, 1);
});

test('an arrival without a delay is poison, and named', () => {
  const tx = new RecordingTx();
  const batch = [event('FlightDeparted', { carrier: 'UA' }), event('FlightArrived', { carrier: 'UA' })];
  assert.throws(() => run(carriers, tx, batch), { kind: 'poison', index: 1, message: /missing field `arr_delay`/ });
  assert.equal(tx.roundTrips, 0);
});
