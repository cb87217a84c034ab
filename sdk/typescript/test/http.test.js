import assert from 'node:assert/strict';
import { test } from 'node:test';

import { HttpError, defineProjection, http, t } from '../src/index.js';
import { RecordingTx, Server, captureLog, event, run } from '../src/testing.js';

const URL = 'https://hooks.example.com/orders';

/** Has an event handled; tells the failure, if there was one. */
function handled(handler) {
  captureLog();
  const projection = defineProjection({ name: 'test', on: { Placed: handler } });
  try {
    run(projection, new RecordingTx(), [event('Other'), event('Placed', { id: 7 })]);
  } catch (error) {
    return error;
  }
  return undefined;
}

test('a request has a method, headers, a body and a timeout', () => {
  const server = new Server();
  assert.equal(handled((event) => {
    http.post(event, URL, { json: { id: 2n ** 60n }, headers: { 'X-Key': 'k' }, timeout: 1500.5 });
    http.put(event, URL, { body: 'text' });
    http.patch(event, URL, { json: [], headers: { 'Content-Type': 'application/json-patch+json' } });
    http.send(event, 'DELETE', URL);
  }), undefined);
  assert.deepEqual(server.requests, [
    { method: 'POST', url: URL, headers: { 'x-key': 'k', 'content-type': 'application/json' }, body: { id: 2n ** 60n }, timeout: 1501 },
    { method: 'PUT', url: URL, headers: {}, body: 'text', timeout: undefined },
    { method: 'PATCH', url: URL, headers: { 'content-type': 'application/json-patch+json' }, body: [], timeout: undefined },
    { method: 'DELETE', url: URL, headers: {}, body: '', timeout: undefined },
  ]);
});

test('an answer is read', () => {
  const server = new Server();
  server.answer(201, { headers: { 'X-Id': '5' }, body: { id: 9007199254740993n } });
  assert.equal(handled((event) => {
    const answer = http.get(event, URL).errorForStatus();
    assert.deepEqual([answer.status, answer.ok, answer.headers.get('x-id'), answer.text()], [201, true, '5', '{"id":9007199254740993}']);
    assert.deepEqual(answer.json(t.object({ id: t.bigint })), { id: 9007199254740993n });
  }), undefined);
  server.answer(200, { body: '{"id":' });
  assert.match(handled((event) => http.get(event, URL).json()).message, /the answer \(200\) can't be read: /);
  server.answer(200, { body: { id: 'x' } });
  const misfit = handled((event) => http.get(event, URL).json(t.object({ id: t.bigint })));
  assert.deepEqual([misfit.kind, misfit.message], ['poison', 'the answer (200) can\'t be read: field `id`: expected an integer, found the text "x"']);
});

test('a status says whether it is worth another try', () => {
  const server = new Server();
  for (const [status, kind] of [[204], [301, 'poison'], [400, 'poison'], [404, 'poison'], [408, 'retry'], [425, 'retry'], [429, 'retry'], [500, 'retry'], [503, 'retry']]) {
    server.answer(status);
    assert.equal(handled((event) => void http.get(event, URL).errorForStatus())?.kind, kind, status);
  }
  server.answer(429, { headers: { 'Retry-After': '30' }, body: `slow down ${'𝒙'.repeat(300)}` });
  const { message, index } = handled((event) => void http.get(event, URL).errorForStatus());
  assert.equal(message, `the server answered 429, retry-after: 30: slow down ${'𝒙'.repeat(190)}`);
  assert.equal(index, 0);
});

test('what has no answer is worth another try where it can pass', () => {
  const server = new Server();
  for (const [reason, kind] of [['timeout', 'retry'], ['connection', 'retry'], ['denied', 'poison'], ['invalid', 'poison'], ['limit', 'poison']]) {
    server.fail(reason, 'so it is');
    const error = handled((event) => void http.get(event, URL));
    assert.deepEqual([error.kind, error.message, error.index], [kind, `${reason}: so it is`, 0]);
  }
  server.fail('timeout');
  assert.equal(handled((event) => assert.throws(() => http.get(event, URL), (error) => error instanceof HttpError && error.reason === 'timeout')), undefined);
});

test('a request that is not sound says why, and is not sent', () => {
  const server = new Server();
  for (const [send, words] of [
    [(event) => http.send(event, 'TRACE', URL), /the method TRACE is not one of get, head/],
    [(event) => http.post(event, URL, { data: {} }), /a request has no `data`, only headers, json, body, timeout/],
    [(event) => http.post(event, URL, { json: {}, body: '' }), /`json` or `body`, and not both/],
    [(event) => http.post(event, URL, { timeout: 0 }), /a timeout is a number of milliseconds, and not 0/],
  ]) {
    assert.match(handled(send).message, words);
  }
  assert.deepEqual(server.requests, []);
});
