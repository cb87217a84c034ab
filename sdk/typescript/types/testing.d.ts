import type { LogLevel, Param, Projection, SqlError, SqlValue } from './index.js';

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
}

/** What the operator has set, for `config`. */
export declare function setConfig(settings: Record<string, string>): void;

/** The lines that are logged from now on. */
export declare function captureLog(): readonly { readonly level: LogLevel; readonly message: string }[];
