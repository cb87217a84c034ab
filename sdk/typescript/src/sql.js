/** @import {Param, RawValue} from './raw.js' */

import { toValue } from './value.js';

/** A statement and its parameters. */
export class Sql {
  /**
   * @param {string} text
   * @param {RawValue[]} params
   */
  constructor(text, params) {
    this.text = text;
    this.params = params;
  }
}

/** The text of each place in the program that has a statement: it is put together once.
 * @type {WeakMap<TemplateStringsArray, string>} */
const texts = new WeakMap();

/**
 * @param {TemplateStringsArray} strings
 * @param {...Param} values
 */
export function sql(strings, ...values) {
  let text = texts.get(strings);
  if (text === undefined) {
    text = strings.reduce((text, part, n) => `${text}$${n}${part}`);
    texts.set(strings, text);
  }
  return new Sql(text, params(values));
}

/**
 * @param {string} text
 * @param {readonly Param[]} [values]
 */
sql.of = (text, values = []) => new Sql(text, params(values));

function params(/** @type {readonly Param[]} */ values) {
  const params = [];
  for (let n = 0; n < values.length; n++) {
    try {
      params.push(toValue(values[n]));
    } catch (error) {
      throw new TypeError(`parameter $${n + 1}: ${/** @type {Error} */ (error).message}`, { cause: error });
    }
  }
  return params;
}
