import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Json, Timestamp, json } from '../src/index.js';
import { parseJson, stringifyJson } from '../src/json.js';
import { dateOf, isDate } from '../src/time.js';
import { fromValue, toValue } from '../src/value.js';

test('numbers stay exact on their way to the database', () => {
  for (const [value, expected] of [
    [7, { tag: 'int32', val: 7 }],
    [-(2 ** 31), { tag: 'int32', val: -2147483648 }],
    [2 ** 31, { tag: 'int64', val: 2147483648n }],
    [Number.MAX_SAFE_INTEGER, { tag: 'int64', val: 9007199254740991n }],
    [9007199254740993n, { tag: 'int64', val: 9007199254740993n }],
    [-(2n ** 63n), { tag: 'int64', val: -(2n ** 63n) }],
    [2n ** 63n, { tag: 'numeric', val: '9223372036854775808' }],
    [0.5, { tag: 'float64', val: 0.5 }],
    [1e300, { tag: 'float64', val: 1e300 }],
    [NaN, { tag: 'float64', val: NaN }],
    [-0, { tag: 'float64', val: -0 }],
  ]) {
    assert.deepEqual(toValue(value), expected);
  }
});

test('everything else becomes what it is', () => {
  for (const [value, expected] of [
    [null, { tag: 'null' }],
    [false, { tag: 'boolean', val: false }],
    ['x', { tag: 'text', val: 'x' }],
    [new Timestamp(-1n), { tag: 'timestamptz', val: -1n }],
    [new Date(-1), { tag: 'timestamptz', val: -1000n }],
    [Uint8Array.of(1, 2), { tag: 'bytes', val: Uint8Array.of(1, 2) }],
    [new Json('{"a": 1.50}'), { tag: 'json', val: '{"a": 1.50}' }],
    [json([1, 'a']), { tag: 'json', val: '[1,"a"]' }],
    [json(null), { tag: 'json', val: 'null' }],
    [{ a: 9007199254740993n, at: new Timestamp(0n) }, { tag: 'json', val: '{"a":9007199254740993,"at":"1970-01-01T00:00:00Z"}' }],
  ]) {
    assert.deepEqual(toValue(value), expected);
  }
});

test('arrays take the kind that holds all of their items', () => {
  for (const [value, expected] of [
    [[], { tag: 'text-array', val: [] }],
    [[null], { tag: 'text-array', val: [undefined] }],
    [['a', null], { tag: 'text-array', val: ['a', undefined] }],
    [[true], { tag: 'bool-array', val: [true] }],
    [[1, null, 2], { tag: 'int32-array', val: [1, undefined, 2] }],
    [[1, 2n], { tag: 'int64-array', val: [1n, 2n] }],
    [[1, 2n ** 64n], { tag: 'numeric-array', val: ['1', '18446744073709551616'] }],
    [[0.5, 1], { tag: 'float64-array', val: [0.5, 1] }],
    [[Uint8Array.of(1)], { tag: 'bytes-array', val: [Uint8Array.of(1)] }],
    [[new Timestamp(5n)], { tag: 'timestamptz-array', val: [5n] }],
    [[{ a: 1 }, new Json('2.0')], { tag: 'json-array', val: ['{"a":1}', '2.0'] }],
  ]) {
    assert.deepEqual(toValue(value), expected);
  }
});

test('what cannot be stored is refused', () => {
  for (const [value, words] of [
    [undefined, /undefined: write null/],
    [() => 1, /a function cannot be stored/],
    [[[1]], /an array of arrays/],
    [[1, 'a'], /an array of int32 and text/],
    [[0.5, 9007199254740993n], /9007199254740993 is no exact floating-point number/],
    [new Date(NaN), /an invalid Date/],
  ]) {
    assert.throws(() => toValue(value), { message: words });
  }
});

test('columns come as the types of JavaScript', () => {
  for (const [value, expected] of [
    [{ tag: 'null' }, null],
    [{ tag: 'int64', val: 5n }, 5n],
    [{ tag: 'numeric', val: '1.50' }, '1.50'],
    [{ tag: 'date', val: -719162 }, '0001-01-01'],
    [{ tag: 'date', val: -1 }, '1969-12-31'],
    [{ tag: 'timestamptz', val: -1n }, new Timestamp(-1n)],
    [{ tag: 'bytes', val: Uint8Array.of(1) }, Uint8Array.of(1)],
    [{ tag: 'json', val: '[1.0]' }, new Json('[1.0]')],
    [{ tag: 'other', val: ['mood', 'good'] }, 'good'],
    [{ tag: 'int64-array', val: [1n, undefined] }, [1n, null]],
    [{ tag: 'date-array', val: [0, undefined] }, ['1970-01-01', null]],
    [{ tag: 'bytes-array', val: [Uint8Array.of(0, 255), undefined] }, [Uint8Array.of(0, 255), null]],
  ]) {
    assert.deepEqual(fromValue(value), expected);
  }
});

test('integers in JSON are exact', () => {
  const text = '{"a":9007199254740993,"b":[-9223372036854775808,9007199254740991,1e400,0.12345678901234567],"c":"9007199254740993","\\u0064":{},"e":[[],null,true]}';
  const value = { a: 9007199254740993n, b: [-9223372036854775808n, 9007199254740991, Infinity, 0.12345678901234567], c: '9007199254740993', d: {}, e: [[], null, true] };
  assert.deepEqual(parseJson(text), value);
  assert.deepEqual(parseJson(` [ 9007199254740993 , "a\\"]" ] `), [9007199254740993n, 'a"]']);
  assert.deepEqual(Object.keys(parseJson('{"__proto__": 9007199254740993}')), ['__proto__']);
  assert.throws(() => parseJson('{"a": 9007199254740993'), SyntaxError);
  assert.equal(stringifyJson({ a: [9007199254740993n, undefined], b: undefined }), '{"a":[9007199254740993,null]}');
  assert.throws(() => stringifyJson(undefined), /undefined has no JSON form/);
});

test('times are exact to the microsecond, before 1970 too', () => {
  for (const [text, micros, shown = text] of [
    ['1969-12-31T23:59:59.999999Z', -1n],
    ['1970-01-01T14:00:00+14:00', 0n, '1970-01-01T00:00:00Z'],
    ['0001-01-01T00:00:00Z', -62135596800000000n],
    ['9999-12-31T23:59:59.999999Z', 253402300799999999n],
    ['2013-01-01 10:15:00.1234567Z', 1357035300123456n, '2013-01-01T10:15:00.123456Z'],
  ]) {
    assert.equal(Timestamp.from(text).micros, micros, text);
    assert.equal(String(new Timestamp(micros)), shown);
  }
  assert.equal(new Timestamp(-1n).toDate().getTime(), -1);
  for (const text of ['2013-02-29T00:00:00Z', '2013-01-01', '2013-01-01T25:00:00Z', '2013-01-01T10:00:00']) {
    assert.throws(() => Timestamp.from(text), RangeError, text);
  }
});

test('days of all kinds of years come back', () => {
  for (const [days, text] of [[0, '1970-01-01'], [11016, '2000-02-29'], [-25508, '1900-03-01'], [2932896, '9999-12-31'], [2932897, '+10000-01-01'], [-719529, '-0001-12-31']]) {
    assert.equal(dateOf(days), text);
  }
  assert.ok(isDate('2012-02-29') && !isDate('2013-02-29') && !isDate('2013-2-01'));
});
