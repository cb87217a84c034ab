/** @import {Backend, RawEvent, RawRows, RawValue, Param, SqlError} from './raw.js' */
/** @import {Projection} from './projection.js' */

import { Failure } from './failure.js';
import { host } from './host.js';
import { stringifyJson } from './json.js';
import { fromValue, toValue } from './value.js';
import { Timestamp } from './time.js';

/** A transaction that records statements and answers queries from a script. */
export class RecordingTx {
  /** @type {{statement: string, raw: RawValue[]}[]} */ #calls = [];
  /** @type {{part: string, answer: RawRows | SqlError}[]} */ #script = [];
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

  get calls() {
    return this.#calls.map(({ statement, raw }) => ({ statement, params: raw.map(fromValue) }));
  }

  /** @param {string} part */
  callsOf(part) {
    return this.calls.filter(({ statement }) => statement.includes(part)).map(({ params }) => params);
  }

  /** What the projection has reached; the SDK's own. @type {Backend} */
  backend = {
    execute: (statement, params) => {
      this.roundTrips += 1;
      return this.#written(statement, params);
    },
    query: (statement, params) => {
      this.roundTrips += 1;
      return this.#record(statement, params);
    },
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
  const failure = projection.handle(tx.backend, taken);
  if (failure) throw new Failure(failure.kind, failure.message, { index: failure.index });
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
