/** @import {Param, RawValue, SqlValue} from './raw.js' */

import { parseJson, stringifyJson } from './json.js';
import { Timestamp, dateOf } from './time.js';

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/** A value of json or jsonb: its text, in which no number is rounded, and the value in it. */
export class Json {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }

  get value() {
    return parseJson(this.text);
  }

  toJSON() {
    return this.value;
  }
}

/** @param {unknown} value */
export function json(value) {
  return new Json(stringifyJson(value));
}

/**
 * A parameter for the host.
 *
 * @param {Param} it
 * @returns {RawValue}
 */
export function toValue(it) {
  switch (typeof it) {
    case 'string':
      return { tag: 'text', val: it };
    case 'number':
      if (!Number.isSafeInteger(it) || Object.is(it, -0)) return { tag: 'float64', val: it };
      return (it | 0) === it ? { tag: 'int32', val: it } : { tag: 'int64', val: BigInt(it) };
    case 'bigint':
      return it >= INT64_MIN && it <= INT64_MAX ? { tag: 'int64', val: it } : { tag: 'numeric', val: it.toString() };
    case 'boolean':
      return { tag: 'boolean', val: it };
    case 'object':
      if (it === null) return { tag: 'null' };
      if (it instanceof Timestamp) return { tag: 'timestamptz', val: it.micros };
      if (it instanceof Date) return { tag: 'timestamptz', val: Timestamp.from(it).micros };
      if (it instanceof Uint8Array) return { tag: 'bytes', val: it };
      if (it instanceof Json) return { tag: 'json', val: it.text };
      if (Array.isArray(it)) return toArray(it);
      return { tag: 'json', val: stringifyJson(it) };
    case 'undefined':
      throw new TypeError('it is undefined: write null for NULL');
    default:
      throw new TypeError(`a ${typeof it} cannot be stored`);
  }
}

/** What can stand together in an array, and as what. A text becomes whatever the column is. */
const ARRAYS = /** @type {const} */ ({
  boolean: 'bool-array',
  int32: 'int32-array',
  int64: 'int64-array',
  float64: 'float64-array',
  numeric: 'numeric-array',
  text: 'text-array',
  bytes: 'bytes-array',
  timestamptz: 'timestamptz-array',
  json: 'json-array',
});

/** Numbers of several kinds in one array become the one that holds them all. */
const NUMBERS = ['int32', 'int64', 'numeric', 'float64'];

/**
 * @param {readonly any[]} items
 * @returns {RawValue}
 */
function toArray(items) {
  /** @type {string | undefined} */
  let kind;
  const values = items.map((item) => {
    if (item === null) return null;
    const value = toValue(item);
    if (!(value.tag in ARRAYS)) throw new TypeError('an array of arrays: is json(…) what you mean?');
    if (kind === undefined || kind === value.tag) kind = value.tag;
    else {
      const [a, b] = [NUMBERS.indexOf(kind), NUMBERS.indexOf(value.tag)];
      if (a < 0 || b < 0) throw new TypeError(`an array of ${kind} and ${value.tag}: is json(…) what you mean?`);
      kind = NUMBERS[Math.max(a, b)];
    }
    return value;
  });
  const convert = (/** @type {any} */ value) => {
    if (kind === 'int64') return BigInt(value);
    if (kind === 'numeric') return value.toString();
    if (kind !== 'float64' || typeof value === 'number') return value;
    const number = Number(value);
    if (BigInt(number) !== BigInt(value)) throw new TypeError(`${value} is no exact floating-point number`);
    return number;
  };
  const tag = ARRAYS[/** @type {keyof typeof ARRAYS} */ (kind ?? 'text')];
  // Nothing at all, for the bindings, is undefined.
  return /** @type {RawValue} */ ({ tag, val: values.map((value) => (value === null ? undefined : convert(value.val))) });
}

/** @type {Record<string, (val: any) => SqlValue>} */
const READERS = {
  // The bindings have a Uint8Array of their own.
  bytes: ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength),
  timestamptz: (val) => new Timestamp(val),
  date: dateOf,
  json: (val) => new Json(val),
  other: ([, text]) => text,
};

/**
 * What a column holds, as JavaScript has it.
 *
 * @param {RawValue} value
 * @returns {SqlValue}
 */
export function fromValue(value) {
  const { tag, val } = /** @type {{tag: string, val?: any}} */ (value);
  if (tag === 'null') return null;
  const array = tag.endsWith('-array');
  const read = READERS[array ? tag.slice(0, -6) : tag];
  if (!array) return read ? read(val) : val;
  // Arrays of numbers come as typed arrays where no item can be null; theirs always can.
  return Array.from(val, (/** @type {any} */ item) => item === undefined || item === null ? null : read ? read(item) : item);
}

/** About how many bytes a parameter holds outside of itself. */
export function heapBytes(/** @type {RawValue} */ value) {
  const { val } = /** @type {{val?: any}} */ (value);
  if (typeof val === 'string') return val.length;
  if (val instanceof Uint8Array) return val.byteLength;
  if (!Array.isArray(val)) return 0;
  let bytes = val.length * 8;
  for (const item of val) if (item?.length) bytes += item.length;
  return bytes;
}
