/** @import {Param, RawParameter, RawQuery, RawRequest, RawRows, RawValue, ParameterType} from './raw.js' */

import { Failure } from './failure.js';
import { fromValue, toValue } from './value.js';

/** What a query, and a parameter of it, may be called. */
export const NAME = /^[a-z][a-z0-9_]{0,47}$/;

const FIELDS = ['text', 'params', 'perTenant'];
/** @type {readonly ParameterType[]} */
const TYPES = ['boolean', 'int64', 'float64', 'numeric', 'text', 'uuid', 'timestamptz', 'date'];

/** A query and the function that answers it. */
export class Query {
  /**
   * @param {{text?: string, params?: Record<string, string | {type: string, text?: string}>, perTenant?: boolean}} description
   * @param {(tx: any, params: any, tenant?: string) => unknown} answer
   */
  constructor(description, answer) {
    this.description = description;
    this.answer = answer;
  }

  /**
   * @param {string} name
   * @param {(why: string) => never} wrong
   */
  check(name, wrong) {
    if (!NAME.test(name)) wrong(`the query \`${name}\` has no name that it can have: [a-z][a-z0-9_]{0,47}`);
    for (const field in this.description) {
      if (!FIELDS.includes(field)) wrong(`the query \`${name}\`: there is no \`${field}\`, only ${FIELDS.join(', ')}`);
    }
    for (const { name: param, type } of this.#params()) {
      if (!NAME.test(param)) wrong(`the query \`${name}\`: the parameter \`${param}\` has no name that it can have: [a-z][a-z0-9_]{0,47}`);
      if (!TYPES.includes(type)) wrong(`the query \`${name}\`: the type \`${type}\` of \`${param}\` is not one of ${TYPES.join(', ')}`);
    }
    if (typeof this.answer !== 'function') wrong(`the query \`${name}\` has no function that answers it`);
    if (this.answer.constructor.name === 'AsyncFunction') wrong(asynchronous(name));
  }

  /**
   * @param {string} name
   * @returns {RawQuery}
   */
  describe(name) {
    const { text = '', perTenant = false } = this.description;
    return { name, text, parameters: this.#params(), perTenant };
  }

  /**
   * @param {import('./tx.js').Tx} tx
   * @param {RawRequest} request
   * @returns {RawRows}
   */
  ask(tx, { name, tenant, parameters }) {
    const params = Object.fromEntries(parameters.map(([param, value]) => [param, fromValue(value)]));
    const rows = this.description.perTenant ? this.answer(tx, params, tenant) : this.answer(tx, params);
    if (typeof (/** @type {any} */ (rows)?.then) === 'function') throw new Failure('fatal', asynchronous(name));
    if (!Array.isArray(rows) || !rows.every((row) => typeof row === 'object' && row !== null)) {
      throw new Failure('fatal', `the query \`${name}\` has not answered with rows: give back those of tx.query, or an array of objects`);
    }
    return tx.kept?.rowSet(rows) ?? { columns: [], rows: [] };
  }

  /** @returns {RawParameter[]} */
  #params() {
    return Object.entries(this.description.params ?? {}).map(([name, it]) => {
      const { type, text = '' } = typeof it === 'string' ? { type: it } : it;
      const required = !type.endsWith('?');
      return { name, text, type: /** @type {ParameterType} */ (required ? type : type.slice(0, -1)), required };
    });
  }
}

/**
 * @param {ConstructorParameters<typeof Query>[0]} description
 * @param {ConstructorParameters<typeof Query>[1]} answer
 */
export function query(description, answer) {
  return new Query(description, answer);
}

function asynchronous(/** @type {string} */ name) {
  return `the query \`${name}\` is asynchronous: queries are synchronous, nothing in them waits. Remove \`async\` and \`await\``;
}

/** What a query has read, as it came: so it is answered with no value that is another one. */
export class Kept {
  /** @type {WeakMap<readonly object[], string[]>} */ #columns = new WeakMap();
  /** @type {WeakMap<object, {columns: string[], values: RawValue[]}>} */ #rows = new WeakMap();

  /**
   * @param {object[]} rows
   * @param {RawRows} raw
   */
  keep(rows, { columns, rows: values }) {
    this.#columns.set(rows, columns);
    rows.forEach((row, n) => this.#rows.set(Object.freeze(row), { columns, values: values[n] }));
  }

  /**
   * @param {readonly object[]} rows
   * @returns {RawRows}
   */
  rowSet(rows) {
    if (rows.length === 0) return { columns: this.#columns.get(rows) ?? [], rows: [] };
    const columns = this.#rows.get(rows[0])?.columns ?? Object.keys(rows[0]);
    return { columns, rows: rows.map((row, n) => this.#values(row, columns, n)) };
  }

  /**
   * @param {object} row
   * @param {string[]} columns
   * @param {number} n
   */
  #values(row, columns, n) {
    const kept = this.#rows.get(row);
    if (kept?.columns === columns) return kept.values;
    const names = kept?.columns ?? Object.keys(row);
    if (names.length !== columns.length || !columns.every((column) => names.includes(column))) {
      throw new Failure('fatal', `row ${n + 1} of the answer has the columns ${names.join(', ')}, and the first one ${columns.join(', ')}`);
    }
    return columns.map((column) => {
      if (kept) return kept.values[names.indexOf(column)];
      try {
        return toValue(/** @type {Record<string, Param>} */ (row)[column]);
      } catch (error) {
        throw new Failure('fatal', `column \`${column}\` of row ${n + 1} of the answer: ${/** @type {Error} */ (error).message}`);
      }
    });
  }
}
