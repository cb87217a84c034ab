/** @import {Backend, RawCall, RawValue, Row, Schema, SqlError} from './raw.js' */
/** @import {Kept} from './query.js' */

import { Conflict, Failure, sqlFailure } from './failure.js';
import { Misfit, readWith } from './schema.js';
import { Sql } from './sql.js';
import { Tables } from './table.js';
import { fromValue, heapBytes } from './value.js';

/** Calls after which the queue is written out, so that it stays small. */
const MAX_CALLS = 1_000;
/** Bytes of parameters after which the queue is written out. */
const MAX_BYTES = 1 << 20;
/** Rows of tables after which they are queued. */
const MAX_ROWS = 10_000;

/** What comes of what the log refuses. An event may name the stream: what is wrong with one must not stop all. */
const LOG_KINDS = /** @type {const} */ ({ denied: 'poison', invalid: 'poison', limit: 'poison', database: 'retry' });

/** The open transaction, with writes that are collected and sent together. */
export class Tx {
  /** @type {Backend} */ #backend;
  /** @type {Map<string, number>} */ #statements = new Map();
  /** @type {RawCall[]} */ #calls = [];
  /** For each call the event that it was made for. @type {(number | undefined)[]} */ #events = [];
  #bytes = 0;
  #tables = new Tables();
  /** @type {number | undefined} */ #blamed;
  /** @type {Failure | undefined} */ #failed;

  /**
   * @param {Backend} backend
   * @param {Kept} [kept] what a query has read; with it nothing can be written
   */
  constructor(backend, kept) {
    this.#backend = backend;
    this.kept = kept;
  }

  /** @param {Sql} statement */
  run(statement) {
    const { text, params } = check(statement);
    this.#writable();
    if (this.#tables.areNamedIn(text)) this.#queueRows();
    this.#push(text, params, this.#blamed);
  }

  /** @param {Sql} statement */
  execute(statement) {
    const { text, params } = check(statement);
    this.#writable();
    this.flush();
    return Number(this.#call(text, () => this.#backend.execute(text, params)));
  }

  /**
   * @param {Sql} statement
   * @param {Schema<any>} [schema]
   * @returns {any[]}
   */
  query(statement, schema) {
    const raw = this.#query(statement);
    const { columns, rows } = raw;
    const read = rows.map((values) => {
      /** @type {Row} */
      const row = {};
      for (let n = 0; n < columns.length; n++) row[columns[n]] = fromValue(values[n]);
      return schema ? this.#read(schema, row, statement) : row;
    });
    if (!schema) this.kept?.keep(read, raw);
    return read;
  }

  /**
   * @param {Sql} statement
   * @param {Schema<any>} [schema]
   */
  one(statement, schema) {
    const row = this.optional(statement, schema);
    if (row === null) throw new Failure('fatal', `no row where one is expected: ${statement.text}`);
    return row;
  }

  /**
   * @param {Sql} statement
   * @param {Schema<any>} [schema]
   */
  optional(statement, schema) {
    const rows = this.query(statement, schema);
    if (rows.length > 1) {
      throw new Failure('fatal', `${rows.length} rows where one is expected: ${statement.text}`);
    }
    return rows[0] ?? null;
  }

  /**
   * @param {Sql} statement
   * @param {Schema<any>} [schema]
   */
  scalar(statement, schema) {
    const { columns, rows } = this.#query(statement);
    if (rows.length !== 1) {
      const found = rows.length === 0 ? 'no row' : `${rows.length} rows`;
      throw new Failure('fatal', `${found} where one is expected: ${statement.text}`);
    }
    const value = fromValue(rows[0][0]);
    return schema ? this.#read(schema, value, statement, columns[0]) : value;
  }

  flush() {
    this.#usable();
    this.#queueRows();
    this.#send();
  }

  /** @param {{index: number} | null} event */
  blame(event) {
    this.#blamed = event?.index;
  }

  /**
   * Reads or appends to the log; the SDK's own.
   *
   * @template T
   * @param {{index: number}} cause the event that is answered
   * @param {(backend: Backend) => T} call
   */
  log({ index }, call) {
    this.#writable();
    try {
      return call(this.#backend);
    } catch (thrown) {
      const { tag, val } = payload(thrown, 'tag');
      if (tag === 'conflict') throw new Conflict(val, index);
      const failure = new Failure(LOG_KINDS[/** @type {keyof typeof LOG_KINDS} */ (tag)], `${tag}: ${val}`, { index });
      if (tag === 'database') this.#failed = failure;
      throw failure;
    }
  }

  /**
   * Changes what is to be written to tables; the SDK's own.
   *
   * @param {(tables: Tables, event: number | undefined) => boolean} change tells whether it could be merged
   */
  merge(change) {
    this.#writable();
    while (!change(this.#tables, this.#blamed)) this.#queueRows();
    if (this.#tables.rows >= MAX_ROWS) this.#queueRows();
  }

  /** The event that is being handled; the SDK's own. */
  get blamed() {
    return this.#blamed;
  }

  /**
   * @param {Sql} statement
   * @returns {{columns: string[], rows: RawValue[][]}}
   */
  #query(statement) {
    const { text, params } = check(statement);
    this.flush();
    return this.#call(text, () => this.#backend.query(text, params));
  }

  /**
   * @param {Schema<any>} schema
   * @param {unknown} value
   * @param {Sql} statement
   * @param {string} [column]
   */
  #read(schema, value, statement, column) {
    try {
      return readWith(schema, value);
    } catch (error) {
      if (!(error instanceof Misfit)) throw error;
      if (column !== undefined) error.path.unshift(column);
      throw new Failure('fatal', `${error.describe('column')}\nstatement: ${statement.text}`);
    }
  }

  /**
   * @param {string} text
   * @param {RawValue[]} params
   * @param {number | undefined} event
   */
  #push(text, params, event) {
    let statement = this.#statements.get(text);
    if (statement === undefined) this.#statements.set(text, (statement = this.#statements.size));
    for (const param of params) this.#bytes += heapBytes(param);
    this.#calls.push({ statement, params });
    this.#events.push(event);
    if (this.#calls.length >= MAX_CALLS || this.#bytes >= MAX_BYTES) this.#send();
  }

  #queueRows() {
    for (const { text, params, event } of this.#tables.take()) this.#push(text, params, event);
  }

  #send() {
    if (this.#calls.length === 0) return;
    const [statements, calls, events] = [[...this.#statements.keys()], this.#calls, this.#events];
    this.#statements = new Map();
    [this.#calls, this.#events, this.#bytes] = [[], [], 0];
    try {
      this.#backend.executeBatch(statements, calls);
    } catch (thrown) {
      const { call, error } = payload(thrown, 'call');
      this.#blamed = events[call];
      this.#fail(error, statements[calls[call]?.statement] ?? '');
    }
  }

  /**
   * @template T
   * @param {string} text
   * @param {() => T} call
   * @returns {T}
   */
  #call(text, call) {
    try {
      return call();
    } catch (thrown) {
      return this.#fail(payload(thrown, 'kind'), text);
    }
  }

  #usable() {
    if (this.#failed) throw this.#failed;
  }

  #writable() {
    this.#usable();
    if (this.kept) throw new Failure('fatal', 'a query reads and nothing else: write where events are handled');
  }

  /**
   * @param {SqlError} error
   * @param {string} text
   * @returns {never}
   */
  #fail(error, text) {
    this.#failed = sqlFailure(error, text);
    this.#failed.index = this.#blamed;
    throw this.#failed;
  }
}

/** @param {Sql} statement */
function check(statement) {
  if (statement instanceof Sql) return statement;
  throw new Failure('fatal', `a statement is sql\`…\` or sql.of(text, parameters), and not ${JSON.stringify(statement)}`);
}

/**
 * What the host has answered: bindings throw it in the field `payload` of an error.
 *
 * @param {any} thrown
 * @param {string} field that it has
 */
function payload(thrown, field) {
  const answer = thrown?.payload;
  if (answer && field in answer) return answer;
  throw thrown;
}
