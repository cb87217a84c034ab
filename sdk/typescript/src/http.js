/** @import {RawMethod, RawResponse, Schema} from './raw.js' */

import { Failure, HttpError } from './failure.js';
import { host } from './host.js';
import { parseJson, stringifyJson } from './json.js';
import { Misfit, readWith } from './schema.js';

/** @type {readonly RawMethod[]} */
const METHODS = ['get', 'head', 'post', 'put', 'patch', 'delete'];
const FIELDS = ['headers', 'json', 'body', 'timeout'];
/** Statuses below 500 after which the server may do better later. */
const PASSING = [408, 425, 429];
/** As much of a body is in a message. */
const SHOWN = 200;

/** What a server has answered. */
class Response {
  /** @param {RawResponse} raw */
  constructor({ status, headers, body }) {
    this.status = status;
    /** @type {Map<string, string>} */
    this.headers = new Map();
    for (const [name, value] of headers) {
      const before = this.headers.get(name);
      this.headers.set(name, before === undefined ? value : `${before}, ${value}`);
    }
    // The bindings have a Uint8Array of their own.
    this.body = new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  }

  get ok() {
    return this.status >= 200 && this.status < 300;
  }

  text() {
    return new TextDecoder().decode(this.body);
  }

  /** @param {Schema<any>} [schema] */
  json(schema) {
    try {
      const value = parseJson(this.text());
      return schema ? readWith(schema, value) : value;
    } catch (error) {
      if (!(error instanceof Misfit || error instanceof SyntaxError)) throw error;
      const why = error instanceof Misfit ? error.describe('field') : error.message;
      throw new Failure('poison', `the answer (${this.status}) can't be read: ${why}`);
    }
  }

  errorForStatus() {
    if (this.ok) return this;
    let message = `the server answered ${this.status}`;
    for (const name of ['retry-after', 'location']) {
      if (this.headers.has(name)) message += `, ${name}: ${this.headers.get(name)}`;
    }
    const body = [...this.text().slice(0, 2 * SHOWN)].slice(0, SHOWN).join('');
    if (body !== '') message += `: ${body}`;
    throw new Failure(this.status >= 500 || PASSING.includes(this.status) ? 'retry' : 'poison', message);
  }
}

/**
 * @typedef {{headers?: Record<string, string>, json?: unknown, body?: string | Uint8Array, timeout?: number}} Options
 */

/**
 * @param {{index: number}} cause
 * @param {string} method
 * @param {string | URL} url
 * @param {Options} [options]
 */
function send(cause, method, url, options = {}) {
  const verb = /** @type {RawMethod} */ (method.toLowerCase());
  if (!METHODS.includes(verb)) throw new TypeError(`the method ${method} is not one of ${METHODS.join(', ')}`);
  for (const field in options) {
    if (!FIELDS.includes(field)) throw new TypeError(`a request has no \`${field}\`, only ${FIELDS.join(', ')}`);
  }
  const { json, timeout } = options;
  if (timeout !== undefined && !(timeout > 0)) throw new TypeError(`a timeout is a number of milliseconds, and not ${timeout}`);
  const headers = Object.entries(options.headers ?? {});
  let body = options.body ?? '';
  if (json !== undefined) {
    if (options.body !== undefined) throw new TypeError('a request has `json` or `body`, and not both');
    body = stringifyJson(json);
    if (!headers.some(([name]) => name.toLowerCase() === 'content-type')) headers.push(['content-type', 'application/json']);
  }
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body;
  const timeoutMs = timeout === undefined ? undefined : Math.min(Math.ceil(timeout), 0xffff_ffff);
  try {
    return new Response(host.send(cause.index, { method: verb, url: String(url), headers, body: bytes, timeoutMs }));
  } catch (thrown) {
    const { tag, val } = /** @type {any} */ (thrown)?.payload ?? {};
    throw tag ? new HttpError(tag, val, cause.index) : thrown;
  }
}

export const http = {
  send,
  get: by('get'),
  head: by('head'),
  post: by('post'),
  put: by('put'),
  patch: by('patch'),
  delete: by('delete'),
};

/**
 * @param {RawMethod} method
 * @returns {(cause: {index: number}, url: string | URL, options?: Options) => Response}
 */
function by(method) {
  return (cause, url, options) => send(cause, method, url, options);
}
