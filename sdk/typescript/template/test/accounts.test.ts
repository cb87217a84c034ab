import assert from 'node:assert/strict';
import { test } from 'node:test';

import { RecordingTx, event, run } from '@eventfabric/sdk/testing';

import accounts from '../src/index.js';

// The logic alone, in milliseconds. Whether the SQL is right is what `scenarios` are for.
test('an account begins with nothing', () => {
  const tx = new RecordingTx();
  run(accounts, tx, [event('AccountOpened', { owner: 'Ada' })]);
  assert.deepEqual(tx.callsOf('INSERT INTO accounts'), [['1', 'Ada']]);
});
