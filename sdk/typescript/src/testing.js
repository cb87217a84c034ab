/** @import {Backend, Param, RawEvent, RawExpected, RawNewEvent, RawOutgoing, RawPage, RawResponse, RawRows, RawValue, Row, SqlError} from './raw.js' */
/** @import {Projection} from './projection.js' */

import { Failure } from './failure.js';
import { host } from './host.js';
import { parseJson, stringifyJson } from './json.js';
import { Timestamp, daysOf } from './time.js';
import { fromValue, toValue } from './value.js';

host.load = (tx, ...stream) => /** @type {RecordingTx['backend']} */ (tx).load(...stream);
host.append = (tx, ...events) => /** @type {RecordingTx['backend']} */ (tx).append(...events);

/** A transaction that records statements, answers queries from a script, and has a log of its own. */
export class RecordingTx {
  /** @type {{statement: string, raw: RawValue[]}[]} */ #calls = [];
  /** @type {{part: string, answer: RawRows | SqlError}[]} */ #script = [];
  /** @type {Map<string, RawEvent[]>} */ #streams = new Map();
  /** @type {{tag: string, val: string | number}[]} */ #refusals = [];
  /** The events that are being handled. @type {readonly RawEvent[]} */ causes = [];
  /** @type {{tenant: string, aggregate: string, id: string, type: string, data: any, schemaVersion: number, topic?: string}[]} */
  appended = [];
  roundTrips = 0;

  /**
   * @param {string} part
   * @param {Record<string, Param>[]} rows
   */
  answer(part, rows) {
    const columns = Object.keys(rows[0] ?? {});
    this.#script.push({ part, answer: { columns, rows: rows.map((row) => columns.map((column) => toValue(row[column]))) } });
  }

  /**
   * @param {string} part
   * @param {Partial<SqlError> & Pick<SqlError, 'kind'>} error
   */
  fail(part, error) {
    this.#script.push({ part, answer: { sqlstate: '', message: `${error.kind} by the test`, ...error } });
  }

  /**
   * @param {string} aggregate
   * @param {string} id
   * @param {...RawEvent} events
   */
  given(aggregate, id, ...events) {
    for (const event of events) {
      const stream = this.#stream(event.tenant, aggregate, id);
      stream.push({ ...event, aggregate, aggregateId: id, version: stream.length + 1 });
    }
  }

  /**
   * @param {'conflict' | 'denied' | 'invalid' | 'limit' | 'database'} reason
   * @param {string | number} [what]
   */
  failAppend(reason, what = reason === 'conflict' ? 1 : `${reason} by the test`) {
    this.#refusals.push({ tag: reason, val: what });
  }

  get calls() {
    return this.#calls.map(({ statement, raw }) => ({ statement, params: raw.map(fromValue) }));
  }

  /** @param {string} part */
  callsOf(part) {
    return this.calls.filter(({ statement }) => statement.includes(part)).map(({ params }) => params);
  }

  /** What the projection has reached; the SDK's own. */
  backend = {
    /**
     * @param {number} cause
     * @param {string} aggregate
     * @param {string} id
     * @param {number} after
     * @param {number} limit
     * @returns {RawPage}
     */
    load: (cause, aggregate, id, after, limit) => {
      const stream = this.#stream(this.causes[cause].tenant, aggregate, id);
      const events = stream.slice(after, after + limit);
      const version = after + events.length;
      return { events, version, more: version < stream.length };
    },
    /**
     * @param {number} cause
     * @param {string} aggregate
     * @param {string} id
     * @param {RawExpected} expected
     * @param {RawNewEvent[]} events
     */
    append: (cause, aggregate, id, expected, events) => {
      const refusal = this.#refusals.shift();
      if (refusal) throw thrownBy(refusal);
      const { tenant, id: causationId, correlationId, occurredAt } = this.causes[cause];
      const stream = this.#stream(tenant, aggregate, id);
      const version = expected.tag === 'exact' ? expected.val : 0;
      if (expected.tag !== 'any' && version !== stream.length) throw thrownBy({ tag: 'conflict', val: stream.length });
      for (const { eventType: type, schemaVersion, payload, topic } of events) {
        const data = parseJson(payload);
        this.appended.push({ tenant, aggregate, id, type, data, schemaVersion, ...(topic === undefined ? {} : { topic }) });
        const fields = { tenant, aggregate, aggregateId: id, version: stream.length + 1, schemaVersion, causationId };
        stream.push({ ...event(type, data, fields), occurredAt, correlationId: correlationId ?? causationId });
      }
      return stream.length;
    },
    /** @type {Backend['execute']} */
    execute: (statement, params) => {
      this.roundTrips += 1;
      return this.#written(statement, params);
    },
    /** @type {Backend['query']} */
    query: (statement, params) => {
      this.roundTrips += 1;
      return this.#record(statement, params);
    },
    /** @type {Backend['executeBatch']} */
    executeBatch: (statements, calls) => {
      this.roundTrips += 1;
      return calls.map(({ statement, params }, call) => {
        try {
          return this.#written(statements[statement], params);
        } catch (thrown) {
          throw thrownBy({ call, error: /** @type {any} */ (thrown).payload });
        }
      });
    },
  };

  /**
   * @param {string} tenant
   * @param {string} aggregate
   * @param {string} id
   */
  #stream(tenant, aggregate, id) {
    const key = JSON.stringify([tenant, aggregate, id]);
    const stream = this.#streams.get(key) ?? [];
    this.#streams.set(key, stream);
    return stream;
  }

  /**
   * @param {string} statement
   * @param {RawValue[]} params
   */
  #written(statement, params) {
    return BigInt(Math.max(this.#record(statement, params).rows.length, 1));
  }

  /**
   * @param {string} statement
   * @param {RawValue[]} raw
   * @returns {RawRows}
   */
  #record(statement, raw) {
    this.#calls.push({ statement, raw });
    const place = this.#script.findIndex(({ part }) => statement.includes(part));
    if (place < 0) return { columns: [], rows: [] };
    const [{ answer }] = this.#script.splice(place, 1);
    if ('rows' in answer) return answer;
    throw thrownBy(answer);
  }
}

/** As the bindings of a component throw it. @param {unknown} payload */
function thrownBy(payload) {
  return Object.assign(new Error('the database has refused it'), { payload });
}

/**
 * @param {string} type
 * @param {object} [data]
 * @param {Partial<import('../types/testing.js').EventFields>} [fields]
 * @returns {RawEvent}
 */
export function event(type, data = {}, fields = {}) {
  const { occurredAt = '2026-01-01T00:00:00Z', schemaVersion = 1, ...rest } = fields;
  return {
    position: 1n,
    id: '00000000-0000-7000-8000-000000000001',
    tenant: 'default',
    aggregate: 'Test',
    aggregateId: '1',
    version: 1,
    correlationId: undefined,
    causationId: undefined,
    ...rest,
    eventType: type,
    schemaVersion,
    occurredAt: Timestamp.from(occurredAt).micros,
    payload: stringifyJson({ ...data, type, version: schemaVersion }),
  };
}

/**
 * @param {Projection} projection
 * @param {RecordingTx} tx
 * @param {RawEvent[]} events
 */
export function run(projection, tx, events) {
  const taken = events.filter((event) => projection.types.length === 0 || projection.types.includes(event.eventType));
  tx.causes = taken;
  const failure = projection.handle(tx.backend, taken);
  if (failure) throw new Failure(failure.kind, failure.message, { index: failure.index });
}

/** What makes a parameter of a query of what a test gives. @type {Record<string, (value: any) => RawValue>} */
const PARAMETERS = {
  int64: (value) => ({ tag: 'int64', val: BigInt(value) }),
  float64: (value) => ({ tag: 'float64', val: value }),
  timestamptz: (value) => ({ tag: 'timestamptz', val: Timestamp.from(value).micros }),
  date: (value) => {
    const days = daysOf(value);
    if (days === undefined) throw new TypeError(`${value} is no day such as 2013-01-01`);
    return { tag: 'date', val: days };
  },
};

/**
 * @param {Projection} projection
 * @param {RecordingTx} tx
 * @param {string} name
 * @param {Record<string, any>} [params]
 * @param {{tenant?: string}} [options]
 * @returns {Row[]}
 */
export function ask(projection, tx, name, params = {}, { tenant = 'default' } = {}) {
  const known = projection.describeQueries().find((query) => query.name === name)?.parameters ?? [];
  const given = new Set(Object.keys(params).filter((param) => params[param] !== undefined));
  /** @type {[string, RawValue][]} */
  const parameters = [];
  for (const { name: param, type, required } of known) {
    if (!given.delete(param)) {
      if (required) throw new TypeError(`the parameter ${param} is missing`);
      continue;
    }
    const value = params[param];
    const read = PARAMETERS[type] ?? (() => ({ tag: type, val: value }));
    parameters.push([param, read(value)]);
  }
  if (given.size > 0) throw new TypeError(`there is no parameter ${[...given].join(', ')}`);
  try {
    const { columns, rows } = projection.query(tx.backend, { name, tenant, parameters });
    return rows.map((values) => Object.fromEntries(columns.map((column, n) => [column, fromValue(values[n])])));
  } catch (thrown) {
    const { kind, message } = /** @type {import('./raw.js').RawFailure} */ (thrown);
    throw new Failure(kind, message);
  }
}

/** Other systems: answers requests from a script. The newest one gets all requests. */
export class Server {
  /** @type {RawOutgoing[]} */ #requests = [];
  /** @type {(RawResponse | {tag: string, val: string})[]} */ #script = [];

  constructor() {
    host.send = (_, request) => {
      this.#requests.push(request);
      const answer = this.#script.shift() ?? { status: 200, headers: [], body: new Uint8Array() };
      if ('tag' in answer) throw thrownBy(answer);
      return answer;
    };
  }

  /**
   * @param {number} status
   * @param {{headers?: Record<string, string>, body?: unknown}} [answer]
   */
  answer(status, { headers = {}, body = '' } = {}) {
    const text = typeof body === 'string' ? body : stringifyJson(body);
    const lower = Object.entries(headers).map(([name, value]) => /** @type {[string, string]} */ ([name.toLowerCase(), value]));
    this.#script.push({ status, headers: lower, body: new TextEncoder().encode(text) });
  }

  /**
   * @param {'denied' | 'invalid' | 'timeout' | 'connection' | 'limit'} reason
   * @param {string} [message]
   */
  fail(reason, message = 'by the test') {
    this.#script.push({ tag: reason, val: message });
  }

  get requests() {
    return this.#requests.map(({ method, url, headers, body, timeoutMs }) => {
      const text = new TextDecoder().decode(body);
      const names = Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), value]));
      const isJson = names['content-type']?.startsWith('application/json');
      return { method: method.toUpperCase(), url, headers: names, body: isJson ? parseJson(text) : text, timeout: timeoutMs };
    });
  }
}

/** @param {Record<string, string>} settings */
export function setConfig(settings) {
  host.get = (key) => settings[key];
  host.all = () => Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** @returns {{level: string, message: string}[]} */
export function captureLog() {
  /** @type {{level: string, message: string}[]} */
  const lines = [];
  host.write = (level, message) => void lines.push({ level, message });
  return lines;
}
