const TOKEN = /[ \t\n\r]*([{}[\]:,]|"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/y;
const MANY_DIGITS = /\d{16}/;

/**
 * JSON.parse, but an integer that a number cannot hold exactly becomes a bigint.
 *
 * @param {string} text
 * @returns {any}
 */
export function parseJson(text) {
  const value = JSON.parse(text);
  return MANY_DIGITS.test(text) ? parseExactly(text) : value;
}

/** Reads text that is known to be JSON. */
function parseExactly(/** @type {string} */ text) {
  let at = 0;
  const next = () => {
    TOKEN.lastIndex = at;
    const [all, token] = /** @type {RegExpExecArray} */ (TOKEN.exec(text));
    at += all.length;
    return token;
  };
  const read = (/** @type {string} */ token) => {
    switch (token[0]) {
      case '{': {
        /** @type {Record<string, unknown>} */
        const object = {};
        for (let key = next(); key !== '}'; key = next()) {
          if (key === ',') key = next();
          next();
          const name = JSON.parse(key);
          const value = read(next());
          // As JSON.parse does, and unlike an assignment.
          if (name === '__proto__') Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
          else object[name] = value;
        }
        return object;
      }
      case '[': {
        /** @type {unknown[]} */
        const array = [];
        for (let token = next(); token !== ']'; token = next()) {
          array.push(read(token === ',' ? next() : token));
        }
        return array;
      }
      default: {
        const value = JSON.parse(token);
        const whole = typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(token);
        return whole ? BigInt(token) : value;
      }
    }
  };
  return read(next());
}

/**
 * JSON.stringify, but a bigint is written as the integer that it is.
 *
 * @param {unknown} value
 * @returns {string}
 */
export function stringifyJson(value) {
  if (typeof value === 'bigint') return value.toString();
  if (value === null || typeof value !== 'object') {
    const text = JSON.stringify(value);
    if (text === undefined) throw new TypeError(`${typeof value} has no JSON form`);
    return text;
  }
  if ('toJSON' in value && typeof value.toJSON === 'function') return stringifyJson(value.toJSON());
  if (Array.isArray(value)) {
    return `[${value.map((item) => (item === undefined ? 'null' : stringifyJson(item))).join(',')}]`;
  }
  const fields = [];
  for (const [key, field] of Object.entries(value)) {
    if (field !== undefined) fields.push(`${JSON.stringify(key)}:${stringifyJson(field)}`);
  }
  return `{${fields.join(',')}}`;
}
