/** @import {Schema} from './raw.js' */

import { Json } from './value.js';
import { Timestamp, isDate } from './time.js';

/** A value that is not what a schema says, and where. */
export class Misfit extends Error {
  /**
   * @param {string} expected what it has to be
   * @param {unknown} found
   */
  constructor(expected, found) {
    super();
    /** @type {(string | number)[]} */
    this.path = [];
    this.expected = expected;
    this.found = found;
    /** What another library says instead. @type {string | undefined} */
    this.words = undefined;
  }

  /**
   * @param {string} words
   * @param {readonly PropertyKey[]} path
   */
  static of(words, path) {
    const misfit = new Misfit('', undefined);
    misfit.words = words;
    misfit.path = path.map((step) => (typeof step === 'number' ? step : String(step)));
    return misfit;
  }

  /** The words about it. @param {string} place what the path leads to: `field` or `column` */
  describe(place) {
    if (this.words === undefined && this.found === undefined && this.path.length > 0) return `missing ${place} \`${this.#where()}\``;
    const words = this.words ?? `expected ${this.expected}, found ${shown(this.found)}`;
    return this.path.length > 0 ? `${place} \`${this.#where()}\`: ${words}` : words;
  }

  #where() {
    return this.path.reduce((path, step) => (typeof step === 'number' ? `${path}[${step}]` : path === '' ? step : `${path}.${step}`), '');
  }
}

function shown(/** @type {unknown} */ value) {
  if (value === null) return 'null';
  if (value === undefined) return 'nothing';
  if (typeof value === 'string') return `the text ${JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)}`;
  if (Array.isArray(value)) return 'an array';
  if (value instanceof Json) return 'json';
  if (value instanceof Timestamp) return `the time ${value}`;
  return typeof value === 'object' ? 'an object' : String(value);
}

/** @template T */
export class Type {
  /** @param {(value: unknown) => T} read */
  constructor(read) {
    this.read = read;
  }

  /** @param {unknown} value */
  parse(value) {
    try {
      return this.read(value);
    } catch (error) {
      if (!(error instanceof Misfit)) throw error;
      throw new TypeError(error.describe('field'));
    }
  }

  get '~standard'() {
    return {
      version: 1,
      vendor: 'eventfabric',
      validate: (/** @type {unknown} */ value) => {
        try {
          return { value: this.read(value) };
        } catch (error) {
          if (!(error instanceof Misfit)) throw error;
          return { issues: [{ message: error.describe('field'), path: error.path }] };
        }
      },
    };
  }
}

/**
 * @template T
 * @param {string} expected
 * @param {(value: any) => T | undefined} read
 */
const type = (expected, read) =>
  new Type((value) => {
    const result = read(value);
    if (result === undefined) throw new Misfit(expected, value);
    return result;
  });

/**
 * Reads what is inside of something, so that a misfit tells the way to it.
 *
 * @template T
 * @param {Type<T>} inner
 * @param {unknown} value
 * @param {string | number} step
 */
function inside(inner, value, step) {
  try {
    return inner.read(value);
  } catch (error) {
    if (error instanceof Misfit) error.path.unshift(step);
    throw error;
  }
}

const isObject = (/** @type {any} */ value) =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Json) && !(value instanceof Timestamp);

export const t = {
  unknown: new Type((value) => value),
  string: type('a text', (value) => (typeof value === 'string' ? value : undefined)),
  boolean: type('true or false', (value) => (typeof value === 'boolean' ? value : undefined)),
  number: type('a number', (value) => (typeof value === 'number' ? value : safe(value))),
  integer: type('an integer up to 2^53', (value) => (Number.isSafeInteger(value) ? value : safe(value))),
  bigint: type('an integer', (value) => {
    if (typeof value === 'bigint') return value;
    return Number.isSafeInteger(value) ? BigInt(value) : undefined;
  }),
  timestamp: type('a time', (value) => {
    if (value instanceof Timestamp) return value;
    try {
      return typeof value === 'string' ? Timestamp.from(value) : undefined;
    } catch {
      return undefined;
    }
  }),
  date: type('a day such as 2013-01-01', (value) => (typeof value === 'string' && isDate(value) ? value : undefined)),
  bytes: type('bytes', (value) => (value instanceof Uint8Array ? value : undefined)),

  /** @param {...(string | number | boolean)} values */
  literal: (...values) =>
    type(values.map((value) => JSON.stringify(value)).join(' or '), (value) => (values.includes(value) ? value : undefined)),

  /** @param {Type<any>} inner */
  nullable: (inner) => new Type((value) => (value === null || value === undefined ? null : inner.read(value))),

  /** @param {Type<any>} inner */
  optional: (inner) => new Type((value) => (value === undefined ? undefined : inner.read(value))),

  /** @param {Type<any>} inner */
  array: (inner) =>
    new Type((value) => {
      if (!Array.isArray(value)) throw new Misfit('an array', value);
      return value.map((item, n) => inside(inner, item, n));
    }),

  /** @param {Type<any>} inner */
  record: (inner) =>
    new Type((value) => {
      if (!isObject(value)) throw new Misfit('an object', value);
      return Object.fromEntries(Object.entries(/** @type {object} */ (value)).map(([key, item]) => [key, inside(inner, item, key)]));
    }),

  /** @param {Record<string, Type<any>>} fields */
  object(fields) {
    const names = Object.keys(fields);
    const types = Object.values(fields);
    return new Type((/** @type {any} */ value) => {
      if (!isObject(value)) throw new Misfit('an object', value);
      /** @type {Record<string, unknown>} */
      const object = {};
      let n = 0;
      try {
        for (; n < names.length; n++) object[names[n]] = types[n].read(value[names[n]]);
      } catch (error) {
        if (error instanceof Misfit) error.path.unshift(names[n]);
        throw error;
      }
      return object;
    });
  },

  /** @param {Type<any>} [inner] */
  json: (inner) => type('json', (value) => (value instanceof Json ? (inner ? inner.read(value.value) : value.value) : undefined)),

  /** @param {Type<any>[]} types */
  union: (...types) =>
    new Type((value) => {
      const expected = [];
      for (const type of types) {
        try {
          return type.read(value);
        } catch (error) {
          if (!(error instanceof Misfit)) throw error;
          if (error.path.length > 0) expected.push('an object that fits');
          else expected.push(error.expected);
        }
      }
      throw new Misfit([...new Set(expected)].join(' or '), value);
    }),
};

function safe(/** @type {unknown} */ value) {
  return typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : undefined;
}

/**
 * Reads a value by a schema of whatever library.
 *
 * @param {Schema<any>} schema
 * @param {unknown} value
 */
export function readWith(schema, value) {
  if (schema instanceof Type) return schema.read(value);
  const it = /** @type {any} */ (schema);
  if (it['~standard']) {
    const result = it['~standard'].validate(value);
    if (typeof result?.then === 'function') throw new TypeError('a schema that validates asynchronously cannot be used: handlers are synchronous');
    if (!result.issues) return result.value;
    const [issue] = result.issues;
    throw Misfit.of(issue.message, (issue.path ?? []).map((/** @type {any} */ step) => step?.key ?? step));
  }
  try {
    return it.parse(value);
  } catch (error) {
    throw Misfit.of(error instanceof Error ? error.message : String(error), []);
  }
}
