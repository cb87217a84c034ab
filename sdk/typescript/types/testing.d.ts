import type { LogLevel, Param, Projection, Row, SqlError, SqlValue, Timestamp } from './index.js';

/** What the log knows of an event, for `event`. */
export interface EventFields {
  position: bigint;
  id: string;
  tenant: string;
  aggregate: string;
  aggregateId: string;
  version: number;
  schemaVersion: number;
  occurredAt: Date | string;
  correlationId: string;
  causationId: string;
}

/** An event as the host hands it over. */
export interface RawEvent {
  readonly eventType: string;
  readonly payload: string;
}

/** An event of the stream Test/1 at position 1, where nothing else is said. */
export declare function event(type: string, data?: object, fields?: Partial<EventFields>): RawEvent;

/**
 * Has a projection handle a batch, as the host would: those events that it takes, upcasters and
 * schemas, everything queued written at the end. Throws a `Failure` where the batch fails.
 *
 * ```ts
 * const tx = new RecordingTx();
 * run(accounts, tx, [event('AccountOpened', { owner: 'Ada' })]);
 * assert.deepEqual(tx.callsOf('INSERT INTO accounts'), [['1', 'Ada']]);
 * ```
 */
export declare function run(projection: Projection, tx: RecordingTx, events: readonly RawEvent[]): void;

/**
 * A transaction that records statements and answers queries from a script.
 *
 * Answers and failures are matched by a part of the statement, and used up in the order they were
 * given. A query without an answer returns no rows. It can't tell wrong SQL from right: that is
 * what scenarios are for.
 */
export declare class RecordingTx {
  /** The next query whose text holds `part` gets these rows. */
  answer(part: string, rows: readonly Record<string, Param>[]): void;
  /** The next statement whose text holds `part` fails. */
  fail(part: string, error: Partial<SqlError> & Pick<SqlError, 'kind'>): void;
  /** Statements with their parameters, in the order they reached the database. */
  readonly calls: readonly { readonly statement: string; readonly params: readonly SqlValue[] }[];
  /** The parameters of the statements whose text holds `part`. */
  callsOf(part: string): SqlValue[][];
  /** How often the database was called: a batch counts once. */
  readonly roundTrips: number;
  /** Events that are in the log already, at the end of a stream. */
  given(aggregate: string, id: string, ...events: RawEvent[]): void;
  /** The next append is refused: with a conflict the stream has that version. */
  failAppend(reason: 'conflict', version?: number): void;
  failAppend(reason: 'denied' | 'invalid' | 'limit' | 'database', message?: string): void;
  /** What was appended to the log, in its order. */
  readonly appended: readonly {
    readonly tenant: string;
    readonly aggregate: string;
    readonly id: string;
    readonly type: string;
    readonly data: any;
    readonly schemaVersion: number;
    readonly topic?: string;
  }[];
}

/**
 * Asks a query, as the host would. Parameters are given as they come to it, an int64 as a number,
 * too. Throws a `Failure` where the query fails.
 *
 * ```ts
 * tx.answer('FROM accounts', [{ id: '1', balance: 700n }]);
 * assert.deepEqual(ask(accounts, tx, 'richest', { limit: 1 }), [{ id: '1', balance: 700n }]);
 * ```
 */
export declare function ask(
  projection: Projection,
  tx: RecordingTx,
  query: string,
  params?: Record<string, boolean | number | bigint | string | Timestamp | undefined>,
  options?: { tenant?: string },
): Row[];

/**
 * Other systems: answers the requests of a reactor from a script, and after its end with 200 and
 * nothing. The newest one gets all requests.
 */
export declare class Server {
  /** The next request gets this answer; a body that is no text is sent as JSON. */
  answer(status: number, answer?: { headers?: Record<string, string>; body?: unknown }): void;
  /** The next request gets no answer. */
  fail(reason: 'denied' | 'invalid' | 'timeout' | 'connection' | 'limit', message?: string): void;
  /** What was sent; the names of headers are in lower case, and a JSON body is read. */
  readonly requests: readonly {
    readonly method: string;
    readonly url: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: any;
    readonly timeout: number | undefined;
  }[];
}

/** What the operator has set, for `config`. */
export declare function setConfig(settings: Record<string, string>): void;

/** The lines that are logged from now on. */
export declare function captureLog(): readonly { readonly level: LogLevel; readonly message: string }[];
