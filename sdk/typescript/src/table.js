/** @import {Param, RawValue} from './raw.js' */
/** @import {Tx} from './tx.js' */

import { fatal } from './failure.js';
import { toValue } from './value.js';

/** A table of the plugin that is written by its key. */
class Table {
  /**
   * @param {string} name
   * @param {string[]} key
   */
  constructor(name, key) {
    this.name = name;
    this.key = key;
    const named = key.map(quoted);
    this.deleteText = `DELETE FROM ${quoted(name)} WHERE ${named.map((column, n) => `${column} = $${n + 1}`).join(' AND ')}`;
    /** The text for each list of columns. @type {Map<string, string>} */
    this.insertTexts = new Map();
  }

  /**
   * @param {Tx} tx
   * @param {Record<string, Param>} key
   * @param {Record<string, Param>} [columns]
   */
  upsert(tx, key, columns = {}) {
    /** @type {[string, RawValue][]} */
    const sets = [];
    for (const column in columns) sets.push([column, this.#value(column, columns[column])]);
    this.#change(tx, key, (row) => {
      row.written = true;
      for (const [column, value] of sets) {
        row.adds.delete(column);
        row.sets.set(column, value);
      }
      return true;
    });
  }

  /**
   * @param {Tx} tx
   * @param {Record<string, Param>} key
   * @param {Record<string, number | bigint>} by
   */
  increment(tx, key, by) {
    for (const column in by) {
      if (typeof by[column] !== 'bigint' && !Number.isSafeInteger(by[column])) {
        throw new TypeError(`${this.name}.${column}: ${by[column]} is not an integer that can be added exactly`);
      }
    }
    // What was merged before another column could not be is not merged again.
    const left = Object.keys(by);
    this.#change(tx, key, (row) => {
      row.written = true;
      while (left.length > 0) {
        if (!row.add(left[0], by[left[0]])) return false;
        left.shift();
      }
      return true;
    });
  }

  /**
   * @param {Tx} tx
   * @param {Record<string, Param>} key
   */
  delete(tx, key) {
    this.#change(tx, key, (row) => {
      row.sets.clear();
      row.adds.clear();
      row.deleted = true;
      row.written = false;
      return true;
    });
  }

  /**
   * @param {string[]} sets
   * @param {string[]} adds
   */
  insertText(sets, adds) {
    const id = `${sets.join()};${adds.join()}`;
    let text = this.insertTexts.get(id);
    if (text === undefined) {
      const named = [...this.key, ...sets, ...adds].map(quoted);
      const changes = [
        ...sets.map((column) => `${quoted(column)} = EXCLUDED.${quoted(column)}`),
        ...adds.map((column) => `${quoted(column)} = coalesce(t.${quoted(column)}, 0) + EXCLUDED.${quoted(column)}`),
      ];
      text =
        `INSERT INTO ${quoted(this.name)} AS t (${named.join(', ')})` +
        ` VALUES (${named.map((_, n) => `$${n + 1}`).join(', ')})` +
        ` ON CONFLICT (${named.slice(0, this.key.length).join(', ')})` +
        ` DO ${changes.length > 0 ? `UPDATE SET ${changes.join(', ')}` : 'NOTHING'}`;
      this.insertTexts.set(id, text);
    }
    return text;
  }

  /**
   * @param {string} column
   * @param {Param} value
   */
  #value(column, value) {
    try {
      return toValue(value);
    } catch (error) {
      throw new TypeError(`${this.name}.${column}: ${/** @type {Error} */ (error).message}`, { cause: error });
    }
  }

  /**
   * @param {Tx} tx
   * @param {Record<string, Param>} key
   * @param {(row: Row) => boolean} change
   */
  #change(tx, key, change) {
    /** @type {RawValue[]} */
    const values = [];
    for (const column of this.key) values.push(this.#value(column, key[column]));
    for (const column in key) {
      if (!this.key.includes(column)) fatal(`\`${column}\` is not in the key of the table ${this.name} (${this.key.join(', ')})`);
    }
    const id = values.map(identity).join('\0');
    tx.merge((tables, event) => change(tables.row(this, id, values, event)));
  }
}

/**
 * @param {string} name
 * @param {...string} key
 */
export function table(name, ...key) {
  if (key.length === 0) throw new TypeError(`the table ${name} has no key: table('${name}', 'id')`);
  return new Table(name, key);
}

/** What the batch has done to one row. */
class Row {
  /** Whatever was there goes first. */
  deleted = false;
  /** The row is there at the end. */
  written = false;
  /** @type {Map<string, RawValue>} */ sets = new Map();
  /** @type {Map<string, number | bigint>} */ adds = new Map();

  /**
   * @param {RawValue[]} key
   * @param {number | undefined} event
   */
  constructor(key, event) {
    this.key = key;
    this.event = event;
  }

  /**
   * Tells whether it could be done: some sums only the database can make.
   *
   * @param {string} column
   * @param {number | bigint} by
   */
  add(column, by) {
    const set = this.sets.get(column);
    if (set === undefined) {
      const sum = plus(this.adds.get(column) ?? 0, by);
      if (sum === undefined) return false;
      this.adds.set(column, sum);
      return true;
    }
    if (!['null', 'int32', 'int64'].includes(set.tag)) return false;
    const sum = plus(set.tag === 'null' ? 0 : /** @type {{val: number | bigint}} */ (set).val, by);
    if (sum === undefined) return false;
    this.sets.set(column, toValue(sum));
    return true;
  }
}

/**
 * The exact sum, or nothing where it is more than a bigint of the database.
 *
 * @param {number | bigint} a
 * @param {number | bigint} b
 */
function plus(a, b) {
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b;
    if (Number.isSafeInteger(sum)) return sum;
  }
  const sum = BigInt(a) + BigInt(b);
  return BigInt.asIntN(64, sum) === sum ? sum : undefined;
}

/** What the batch has done to tables so far. */
export class Tables {
  /** @type {Map<string, {table: Table, rows: Map<string, Row>}>} */ #tables = new Map();
  rows = 0;

  /**
   * @param {Table} table
   * @param {string} id
   * @param {RawValue[]} key
   * @param {number | undefined} event
   */
  row(table, id, key, event) {
    let known = this.#tables.get(table.name);
    if (!known) this.#tables.set(table.name, (known = { table, rows: new Map() }));
    let row = known.rows.get(id);
    if (!row) {
      known.rows.set(id, (row = new Row(key, event)));
      this.rows += 1;
    }
    if (row.event !== event) row.event = undefined;
    return row;
  }

  /** Whether a statement may touch one of them. @param {string} statement */
  areNamedIn(statement) {
    if (this.rows === 0) return false;
    for (const name of this.#tables.keys()) if (statement.includes(name)) return true;
    return false;
  }

  /** Takes the writes out, in an order that is the same for every worker. */
  take() {
    /** @type {{text: string, params: RawValue[], event: number | undefined}[]} */
    const writes = [];
    if (this.rows === 0) return writes;
    for (const name of [...this.#tables.keys()].sort()) {
      const { table, rows } = /** @type {{table: Table, rows: Map<string, Row>}} */ (this.#tables.get(name));
      for (const row of [...rows.values()].sort((a, b) => compareKeys(a.key, b.key))) {
        if (row.deleted) writes.push({ text: table.deleteText, params: row.key, event: row.event });
        if (!row.written) continue;
        // In the order of their names, so that rows of the same columns share a statement.
        const sets = [...row.sets.keys()].sort();
        const adds = [...row.adds.keys()].sort();
        const params = [...row.key];
        for (const column of sets) params.push(/** @type {RawValue} */ (row.sets.get(column)));
        for (const column of adds) params.push(toValue(/** @type {number | bigint} */ (row.adds.get(column))));
        writes.push({ text: table.insertText(sets, adds), params, event: row.event });
      }
    }
    this.#tables.clear();
    this.rows = 0;
    return writes;
  }
}

/** A text that is the same for values that are the same in a column. @param {RawValue} value */
function identity(value) {
  const { tag, val } = /** @type {{tag: string, val?: any}} */ (value);
  return `${tag === 'int32' || tag === 'float64' ? 'int64' : tag}:${val}`;
}

/**
 * @param {RawValue[]} a
 * @param {RawValue[]} b
 */
function compareKeys(a, b) {
  for (let n = 0; n < a.length; n++) {
    const [x, y] = [/** @type {any} */ (a[n]).val, /** @type {any} */ (b[n]).val];
    if (x < y) return -1;
    if (x > y) return 1;
  }
  return 0;
}

function quoted(/** @type {string} */ name) {
  return `"${name.replaceAll('"', '""')}"`;
}
