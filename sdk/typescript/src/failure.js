/** @import {FailureKind, SqlError} from './raw.js' */

/** Why a batch was not handled: what the host shall do, and a message for people. */
export class Failure extends Error {
  /**
   * @param {FailureKind} kind
   * @param {string} message
   * @param {{index?: number, sql?: SqlError, cause?: unknown}} [more]
   */
  constructor(kind, message, { index, sql, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'Failure';
    this.kind = kind;
    this.index = index;
    this.sql = sql;
  }
}

/** @type {(message: string, event?: {index: number}) => never} */
export function retry(message, event) {
  throw new Failure('retry', message, { index: event?.index });
}

/** @type {(message: string, event?: {index: number}) => never} */
export function poison(message, event) {
  throw new Failure('poison', message, { index: event?.index });
}

/** @type {(message: string) => never} */
export function fatal(message) {
  throw new Failure('fatal', message);
}

/** @type {Record<SqlError['kind'], FailureKind>} */
const KINDS = {
  retryable: 'retry',
  connection: 'retry',
  constraint: 'poison',
  denied: 'fatal',
  invalid: 'fatal',
  limit: 'fatal',
  aborted: 'fatal',
};

/**
 * The failure of a statement, with all that an author needs to mend it.
 *
 * @param {SqlError} error
 * @param {string} statement
 */
export function sqlFailure(error, statement) {
  let text = error.message;
  if (error.sqlstate) text += ` (SQLSTATE ${error.sqlstate})`;
  if (error.detail) text += `\ndetail: ${error.detail}`;
  if (error.hint) text += `\nhint: ${error.hint}`;
  text += `\nstatement: ${statement}`;
  if (error.position) {
    // The server counts characters, JavaScript halves of some of them.
    const rest = [...statement].slice(error.position - 1, error.position + 39).join('');
    text += `\nat character ${error.position}: ${rest}`;
  }
  return new Failure(KINDS[error.kind], text, { sql: error });
}

/** A stream is not as it was expected. */
export class Conflict extends Failure {
  /**
   * @param {number} version
   * @param {number | undefined} index
   */
  constructor(version, index) {
    super('retry', `the stream has version ${version}, which is not the one that was expected`, { index });
    this.name = 'Conflict';
    this.version = version;
  }
}

/** Why a request had no answer. */
export class HttpError extends Failure {
  /**
   * @param {'denied' | 'invalid' | 'timeout' | 'connection' | 'limit'} reason
   * @param {string} message
   * @param {number | undefined} index
   */
  constructor(reason, message, index) {
    // An event may name the server: what is wrong with one must not stop all.
    super(reason === 'timeout' || reason === 'connection' ? 'retry' : 'poison', `${reason}: ${message}`, { index });
    this.name = 'HttpError';
    this.reason = reason;
  }
}
