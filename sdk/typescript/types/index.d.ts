/**
 * The contents of an event by its type: what `event.data` is in each handler.
 *
 * ```ts
 * type Account = { AccountOpened: { owner: string }; MoneyDeposited: { cents: number } };
 * ```
 */
export type EventMap = Record<string, any>;

/** A fact from the log. */
export interface Event<Type extends string = string, Data = any> {
  /** Such as `AccountOpened`. */
  readonly type: Type;
  /**
   * The payload, as its schema reads it; without a schema as it came, with `type` and `version` in
   * it. An integer that a number cannot hold exactly is a bigint.
   */
  readonly data: Data;
  /** The place in the batch, from 0. */
  readonly index: number;
  /** The place in the log of all streams, from 1. It has holes. */
  readonly position: bigint;
  /** A UUID. */
  readonly id: string;
  readonly tenant: string;
  /** The kind of aggregate, such as `Account`. */
  readonly aggregate: string;
  /** Which aggregate of that kind, such as `42`. */
  readonly aggregateId: string;
  /** The place in the stream of that aggregate: 1, 2, 3, … */
  readonly version: number;
  /** The version of the payload's schema, from 1. */
  readonly schemaVersion: number;
  /** The JSON text of the payload. */
  readonly payload: string;
  readonly occurredAt: Timestamp;
  /** What belongs together: the same for all that came of one request. */
  readonly correlationId: string | null;
  /** The event or command that caused this event. */
  readonly causationId: string | null;
}

/** An event of any of the types of a map, told apart by `type`. */
export type EventOf<Events extends EventMap> = {
  [Type in keyof Events & string]: Event<Type, Events[Type]>;
}[keyof Events & string];

/**
 * How a payload or a row is read and checked: by `t`, by a schema of any library that follows
 * Standard Schema (zod, valibot, arktype, …), or by whatever has a `parse`.
 */
export type Schema<Output> = { parse(value: unknown): Output } | StandardSchema<Output>;

/** The part of https://standardschema.dev that is used here. */
export interface StandardSchema<Output> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
  };
}

type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string; readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined }[] };

/**
 * What a handler gives back: nothing. A promise is refused, for nothing in a handler waits.
 */
export type Done = void | undefined;

/** Handles one event. Writes go to `tx`. */
export type Handler<Type extends string, Data> = {
  // As a method, so that one of a known type fits where the types of events are not given.
  handle(event: Event<Type, Data>, tx: Tx): Done;
}['handle'];

interface Common<Events extends EventMap> {
  /** The identity of the projection, and the name of its schema: `[a-z][a-z0-9_]{0,47}`. */
  name: string;
  /** One sentence for people. */
  text?: string;
  /**
   * Where the events come from, and when; `async` where it is left out.
   *
   * - `inline`: in the transaction of the append. A failure fails the append.
   * - `catch-up`: from the log, in its order.
   * - `async`: from the outbox, any order across streams, with retries and dead letters.
   */
  mode?: 'inline' | 'catch-up' | 'async';
  /** Which topics an async projection takes; all where it is left out. */
  topics?: { include: readonly string[]; exclude?: never } | { exclude: readonly string[]; include?: never };
  /** A schema for each type of event. A payload that does not fit is poison, and names event and field. */
  events?: { [Type in keyof Events]: Schema<Events[Type]> };
  /**
   * How payloads of older schema versions become the newest: for each type the step from a version
   * to the next one.
   *
   * ```ts
   * upcast: { MoneyDeposited: { 1: ({ euros, ...rest }) => ({ ...rest, cents: euros * 100 }) } }
   * ```
   */
  upcast?: Partial<Record<NoInfer<keyof Events & string>, { [fromVersion: number]: (payload: any) => Record<string, unknown> }>>;
  /**
   * The folder with the steps that make the tables, relative to the plugin's own, or the steps
   * themselves; `migrations` where it is left out. A file is `001_create_accounts.sql`: number and name.
   */
  migrations?: string | readonly Migration[];
  /** What the projection answers from its tables, by name (`[a-z][a-z0-9_]{0,47}`): see `query`. */
  queries?: Record<string, Query>;
}

interface ByEvent<Events extends EventMap> extends Common<Events> {
  /** A handler for each type of event that the projection takes. */
  on: { [Type in NoInfer<keyof Events & string>]?: Handler<Type, Events[Type]> };
  batch?: never;
  types?: never;
}

interface ByBatch<Events extends EventMap> extends Common<Events> {
  /**
   * Handles all events of a batch at once, oldest first: where they can be merged before they are
   * written. Use `tx.blame(event)` to say which one a failure is about; where nothing is said, the
   * host halves the batch until it finds it.
   */
  batch(events: readonly EventOf<Events>[], tx: Tx): Done;
  on?: never;
  /** The types of events to get: those of `events` where it is left out, and all where both are. */
  types?: readonly NoInfer<keyof Events & string>[];
}

/** A step in the making of the plugin's tables. One that was deployed is never changed. */
export interface Migration {
  /** 1, 2, 3, … without holes. */
  number: number;
  /** For people, such as `create accounts`. */
  name: string;
  /** One or more statements that create, alter or drop. */
  sql: string;
}

/** A projection, ready to be exported by default from the plugin's entry. */
export interface Projection {
  readonly types: readonly string[];
}

/**
 * A projection: turns events into rows of its own tables. Export it by default.
 *
 * ```ts
 * type Account = { AccountOpened: { owner: string }; MoneyDeposited: { cents: number } };
 *
 * export default defineProjection<Account>({
 *   name: 'accounts',
 *   mode: 'catch-up',
 *   on: {
 *     AccountOpened(event, tx) {
 *       tx.run(sql`INSERT INTO accounts (account, owner) VALUES (${event.aggregateId}, ${event.data.owner})`);
 *     },
 *   },
 * });
 * ```
 *
 * Nothing is kept from one batch to the next but what stands in its tables.
 */
export declare function defineProjection<Events extends EventMap>(definition: ByEvent<Events> | ByBatch<Events>): Projection;

/** What a parameter of a query is in JavaScript, by its type. */
export interface ParameterTypes {
  boolean: boolean;
  /** A whole number of 64 bits: always a bigint, as a bigint of PostgreSQL is. */
  int64: bigint;
  float64: number;
  /** A decimal number, exact, as text. */
  numeric: string;
  text: string;
  uuid: string;
  /** To the microsecond. */
  timestamptz: Timestamp;
  /** A day, such as `2013-01-01`. */
  date: string;
}

/** The type of a parameter; with `?` one that may be left out, and then is undefined. */
export type ParameterType = keyof ParameterTypes | `${keyof ParameterTypes}?`;
/** A parameter of a query; `text` is one sentence for people. */
export type Parameter = ParameterType | { type: ParameterType; text?: string };

type TypeOf<P> = P extends { type: infer Type } ? Type : P;
type ValueOf<Type> = Type extends keyof ParameterTypes
  ? ParameterTypes[Type]
  : Type extends `${infer Optional extends keyof ParameterTypes}?`
    ? ParameterTypes[Optional] | undefined
    : never;

/** What a caller has given, by the names of the parameters. */
export type Params<P extends Record<string, Parameter>> = { readonly [Name in keyof P]: ValueOf<TypeOf<P[Name]>> };

/** The open transaction of a query: it reads, and nothing else. Each statement sees what was committed when it began. */
export type QueryTx = Pick<Tx, 'query' | 'one' | 'optional' | 'scalar'>;

/** A query that a projection answers. */
export interface Query {
  readonly description: { readonly text?: string; readonly perTenant?: boolean };
}

/**
 * A query: the host serves it at `GET /v1/query/PROJECTION/NAME?PARAMETER=VALUE`, and checks the
 * parameters by their description before it asks.
 *
 * ```ts
 * queries: {
 *   richest: query({ text: 'The accounts with the most on them', params: { limit: 'int64?' } }, (tx, { limit }) =>
 *     tx.query(sql`SELECT id, balance FROM accounts ORDER BY balance DESC LIMIT ${limit ?? 10}`),
 *   ),
 * }
 * ```
 *
 * The answer is rows: those of `tx.query`, which are handed through as PostgreSQL has them and can't
 * be changed, or an array of objects that all have the same fields, of whatever can be a parameter.
 *
 * With `perTenant` the function gets the tenant, and promises that the answer holds nothing of
 * another. Without it the query answers for all, and callers that are confined to some can't ask it.
 *
 * `poison(message)` tells the caller that the request makes no sense, `retry(message)` to come back.
 * Anything else that is thrown says that the plugin is wrong. None of it stops the projection. There
 * is no clock: a time that is asked for is a parameter.
 */
export declare function query<const P extends Record<string, Parameter> = {}, const PerTenant extends boolean = false>(
  description: { text?: string; params?: P; perTenant?: PerTenant },
  answer: (tx: QueryTx, params: Params<P>, ...tenant: PerTenant extends true ? [tenant: string] : []) => readonly object[],
): Query;

/** An event that is to be appended: `schemaVersion` is the newest one where it is left out, `topic` its label in the outbox. */
export type NewEvent<Events extends EventMap> = {
  [Type in keyof Events & string]: { type: Type; schemaVersion?: number; topic?: string } & (object extends Events[Type]
    ? { data?: Events[Type] }
    : { data: Events[Type] });
}[keyof Events & string];

/** The events of one aggregate, as far as they were loaded. */
export interface Stream<Events extends EventMap> {
  readonly id: string;
  /** In their order; those of types that the aggregate does not name are left out. */
  readonly events: readonly EventOf<Events>[];
  /** How far it was read, and what `append` expects; 0 where there is nothing. */
  readonly version: number;
  /** Appends where nothing has come after what was loaded; otherwise it throws a `Conflict`. Tells the new version. */
  append(...events: NewEvent<Events>[]): number;
}

/** The streams of one kind of aggregate, see `aggregate`. */
export interface Aggregate<Events extends EventMap> {
  readonly name: string;
  /**
   * The events of a stream of the cause's tenant, or those after a version. It sees what this
   * transaction has appended.
   */
  load(tx: Tx, cause: Event, id: string, options?: { after?: number }): Stream<Events>;
  /**
   * Appends events to a stream of the cause's tenant, and tells the version that the stream has then.
   * With `expected` the stream must have that version, 0 for none, or it throws a `Conflict`.
   */
  append(tx: Tx, cause: Event, id: string, events: NewEvent<Events> | readonly NewEvent<Events>[], options?: { expected?: number }): number;
}

/**
 * The log, for a projection that answers events with events: a process manager. Its mode is
 * `catch-up` or `async`, and the operator grants it `append:NAME` for each aggregate that it appends to.
 *
 * ```ts
 * const accounts = aggregate('Account', { events: { MoneyDeposited: money, MoneyWithdrawn: money } });
 *
 * on: {
 *   TransferRequested(event, tx) {
 *     const account = accounts.load(tx, event, event.data.from);
 *     if (balance(account.events) >= event.data.cents) account.append({ type: 'MoneyWithdrawn', data: { cents: event.data.cents } });
 *   },
 * }
 * ```
 *
 * `cause` is the event that is answered: the new events get its tenant and correlation id, and their
 * ids are made of its own. So an event that is handled once more appends nothing twice. They commit
 * together with the record that it was handled.
 *
 * Data must fit its schema as it does when it is loaded; what does not is thrown, and nothing appended.
 */
export declare function aggregate<Events extends EventMap>(
  name: string,
  definition?: Pick<Common<Events>, 'events' | 'upcast'>,
): Aggregate<Events>;

/** What a request may have. */
export interface RequestOptions {
  /** `Idempotency-Key` and those of the connection are the host's. */
  headers?: Record<string, string>;
  /** A value that is sent as JSON, with its content type. */
  json?: unknown;
  body?: string | Uint8Array;
  /** For the whole of it, in milliseconds; the host's own limit where it is less. */
  timeout?: number;
}

/** What a server has answered, whatever its status. Redirects are not followed. */
export interface HttpResponse {
  readonly status: number;
  /** Whether the status is one of success: 200 to 299. */
  readonly ok: boolean;
  /** By names in lower case; what came several times is joined by commas. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
  text(): string;
  /** The body, read from JSON, by a schema or as the type says. Poison where it does not fit. */
  json<T>(schema: Schema<T>): T;
  json<T = any>(): T;
  /**
   * The answer itself, where its status is one of success. Otherwise it throws: 408, 425, 429 and
   * from 500 on a retry, for the server may do better later, and all else poison.
   */
  errorForStatus(): this;
}

type Send = (cause: Event, url: string | URL, options?: RequestOptions) => HttpResponse;

/**
 * Outgoing HTTP, for a projection that tells other systems: a reactor. Its mode is `async`, and the
 * operator grants it `https:HOST:PORT` for each server.
 *
 * ```ts
 * on: {
 *   OrderPlaced(event) {
 *     http.post(event, config.get('url') ?? '', { json: event.data, timeout: 5_000 }).errorForStatus();
 *   },
 * }
 * ```
 *
 * `cause` is the event that it tells of. Requests are sent at least once: an event whose handling
 * fails afterwards is handled again, and sends them again with the same `Idempotency-Key`. So send
 * them in the same order each time. Without an answer an `HttpError` is thrown.
 */
export declare const http: {
  send(cause: Event, method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', url: string | URL, options?: RequestOptions): HttpResponse;
  readonly get: Send;
  readonly head: Send;
  readonly post: Send;
  readonly put: Send;
  readonly patch: Send;
  readonly delete: Send;
};

/** What can be a parameter.
 *
 * | JavaScript | PostgreSQL |
 * |---|---|
 * | `boolean` | boolean |
 * | `number` | smallint, integer, bigint, real, double precision, numeric |
 * | `bigint` | bigint and smaller, numeric |
 * | `string` | text, and whatever is written as text: uuid, date, timestamptz, numeric, json, enums, intervals, … |
 * | `Timestamp`, `Date` | timestamptz |
 * | `Uint8Array` | bytea |
 * | `json(value)`, plain objects | json, jsonb |
 * | arrays of these, with nulls | arrays |
 * | `null` | NULL |
 */
export type Param = null | boolean | number | bigint | string | Date | Timestamp | Uint8Array | Json | readonly Param[] | { readonly [key: string]: unknown };

/** What a column can hold.
 *
 * | PostgreSQL | JavaScript |
 * |---|---|
 * | smallint, integer, real, double precision | `number` |
 * | bigint | `bigint`, always |
 * | numeric, text, uuid, enums and all others | `string` |
 * | date | `string`, such as `2013-01-01` |
 * | timestamptz | `Timestamp` |
 * | bytea | `Uint8Array` |
 * | json, jsonb | `Json` |
 * | boolean | `boolean` |
 * | arrays | arrays, with `null` in them |
 */
export type SqlValue = null | boolean | number | bigint | string | Timestamp | Uint8Array | Json | SqlValue[];

/** A row of a query, by the names of its columns. */
export type Row = Record<string, SqlValue>;

/** A statement and its parameters, see `sql`. */
export interface Sql {
  readonly text: string;
}

/**
 * A statement. What is put in becomes a parameter and never a part of the text.
 *
 * ```ts
 * sql`UPDATE accounts SET cents = cents + ${cents} WHERE account = ${id}`
 * ```
 */
export declare const sql: {
  (strings: TemplateStringsArray, ...values: Param[]): Sql;
  /** A statement whose text is put together by the program, with parameters `$1`, `$2`, …: keep the number of texts small. */
  of(text: string, params?: readonly Param[]): Sql;
};

/**
 * The open transaction. What is written here commits together with the record that the events were
 * handled, or not at all.
 *
 * After a statement has failed, the transaction is lost: every later call fails with the same
 * error, and the batch fails with it even if the projection went on.
 */
export interface Tx {
  /**
   * Queues a write. The queue is sent as one: at the end of the batch, before the next read or
   * `execute`, and when it is full. So reads see all earlier writes, and a batch that only writes
   * costs one round trip. A failure names the event that the write was queued for.
   */
  run(statement: Sql): void;
  /**
   * Runs a statement at once and tells how many rows it wrote or returned. A round trip of its
   * own: prefer `run` where the number does not matter.
   */
  execute(statement: Sql): number;
  /** The rows of a query; by a schema, or as the type says, unchecked. */
  query<T>(statement: Sql, schema: Schema<T>): T[];
  query<T = Row>(statement: Sql): T[];
  /** The one row of a query. Fails (fatal) where there is not exactly one. */
  one<T>(statement: Sql, schema: Schema<T>): T;
  one<T = Row>(statement: Sql): T;
  /** The row of a query, or null. Fails (fatal) where there are several. */
  optional<T>(statement: Sql, schema: Schema<T>): T | null;
  optional<T = Row>(statement: Sql): T | null;
  /** The first column of the one row of a query. */
  scalar<T>(statement: Sql, schema: Schema<T>): T;
  scalar<T = SqlValue>(statement: Sql): T;
  /** Writes out what is queued. */
  flush(): void;
  /** From here on, failures name this event, or none. For `batch`; before a handler of one event it was done. */
  blame(event: Event | null): void;
}

/**
 * A table of the plugin that is written by its key: `table('counters', 'area', 'key')`.
 *
 * What a batch does to one key is merged in the plugin, so that a counter that is touched 500 times
 * is written once, in the order of the keys, so that two workers wait for each other in no circle.
 * The rows are those that one statement for each call would leave:
 *
 * | call | statement |
 * |---|---|
 * | `upsert` | `INSERT … ON CONFLICT (key) DO UPDATE SET column = EXCLUDED.column` |
 * | `increment` | `INSERT … ON CONFLICT (key) DO UPDATE SET column = coalesce(t.column, 0) + EXCLUDED.column` |
 * | `delete` | `DELETE … WHERE key = …` |
 *
 * They are written before the next read and at the end of the batch, after the calls of `tx.run`; a
 * call of `run` that names the table keeps its place among them. A statement that depends on them
 * without naming the table (a foreign key, a view) needs a `tx.flush()` before it.
 */
export interface Table<Key extends string> {
  /** Inserts the row, or sets these columns where it is there already. */
  upsert(tx: Tx, key: Record<Key, Param>, columns?: Record<string, Param>): void;
  /** Adds integers to columns of integers or numerics, where NULL counts as 0; inserts the row where it is not there. */
  increment(tx: Tx, key: Record<Key, Param>, by: Record<string, number | bigint>): void;
  /** Deletes the row, if it is there. */
  delete(tx: Tx, key: Record<Key, Param>): void;
}

/** A table with the columns of its primary key, or of another unique index without a condition. */
export declare function table<Key extends string>(name: string, ...key: [Key, ...Key[]]): Table<Key>;

/** A point in time: microseconds since 1970-01-01T00:00:00Z. As text and in JSON it is RFC 3339. */
export declare class Timestamp {
  constructor(micros: bigint);
  readonly micros: bigint;
  /** Of a text such as `2013-01-01T05:15:00.25-05:00`. Throws a RangeError where it is none. */
  static from(from: Date | string | Timestamp): Timestamp;
  /** To the millisecond, rounded down. */
  toDate(): Date;
  /** The day in UTC, such as `2013-01-01`. */
  toDateString(): string;
  toString(): string;
  toJSON(): string;
}

/** A value of json or jsonb. */
export declare class Json {
  constructor(text: string);
  /** As PostgreSQL has it: no number in it is rounded. */
  readonly text: string;
  /** What is in it. An integer that a number cannot hold exactly is a bigint. */
  readonly value: any;
  toJSON(): unknown;
}

/** A value as a parameter for json and jsonb: for arrays and single values (a plain object is one without it). */
export declare function json(value: unknown): Json;

/** What the host does about a failure: try again later, set the event aside, stop the projection. */
export type FailureKind = 'retry' | 'poison' | 'fatal';

/** What the functions below throw, and a statement that fails. */
export declare class Failure extends Error {
  readonly kind: FailureKind;
  /** The index in the batch of the event to blame, where it is known. */
  readonly index?: number;
  /** What the database said, if it was a statement that failed. */
  readonly sql?: SqlError;
}

/** A stream is not as it was expected. It is a retry; caught, the transaction goes on. */
export declare class Conflict extends Failure {
  readonly kind: 'retry';
  /** The version that the stream has, 0 for none. */
  readonly version: number;
}

/** Why a request had no answer: `timeout` and `connection` are a retry, and the others poison. */
export declare class HttpError extends Failure {
  readonly reason: 'denied' | 'invalid' | 'timeout' | 'connection' | 'limit';
}

/** Fails so that the host tries the same event again, with a growing delay. */
export declare function retry(message: string, event?: Event): never;
/** Fails so that the host sets this event aside, for it can never succeed. */
export declare function poison(message: string, event?: Event): never;
/** Fails so that the host stops the projection: the plugin itself is wrong. */
export declare function fatal(message: string): never;

/** Why a statement failed. */
export interface SqlError {
  /**
   * `retryable` and `connection` become the failure `retry`, `constraint` becomes `poison`, and all
   * others `fatal`.
   */
  kind: 'retryable' | 'constraint' | 'denied' | 'invalid' | 'limit' | 'aborted' | 'connection';
  /** SQLSTATE, or nothing where the error is the host's own. */
  sqlstate: string;
  message: string;
  detail?: string;
  hint?: string;
  constraint?: string;
  table?: string;
  column?: string;
  /** The place in the text of the statement, in characters from 1. */
  position?: number;
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error';

/** Lines for the host's log. Each carries the plugin, its version and the batch. `console.log` and its like come here, too. */
export declare const log: { [Level in LogLevel]: (message: string) => void };

/** Settings that the operator gave this plugin. They are the same for the whole of a batch. */
export declare const config: {
  get(key: string): string | undefined;
  all(): Record<string, string>;
  /** A setting in a type of its own. Fails (fatal) and names the setting where `read` throws. */
  parse<T>(key: string, read: (text: string) => T): T | undefined;
};

/** A schema of `t`. */
export interface Type<T> extends StandardSchema<T> {
  /** Reads a value. Throws a TypeError that names the field where it does not fit. */
  parse(value: unknown): T;
}

/** What a schema reads. */
export type Infer<S> = S extends Schema<infer Output> ? Output : never;

type Simplify<T> = { [K in keyof T]: T[K] };
type OptionalKeys<Fields> = { [K in keyof Fields]: undefined extends Infer<Fields[K]> ? K : never }[keyof Fields];

/**
 * Small schemas for payloads and rows. An object keeps the fields that it names, and no others.
 *
 * ```ts
 * const Deposited = t.object({ cents: t.integer, note: t.optional(t.string) });
 * ```
 */
export declare const t: {
  readonly string: Type<string>;
  readonly boolean: Type<boolean>;
  readonly number: Type<number>;
  /** An integer up to 2^53, as a number. */
  readonly integer: Type<number>;
  /** An integer of any size, exactly. */
  readonly bigint: Type<bigint>;
  /** A text such as `2013-01-01T10:15:00Z`, or a timestamptz. */
  readonly timestamp: Type<Timestamp>;
  /** A day such as `2013-01-01`. */
  readonly date: Type<string>;
  readonly bytes: Type<Uint8Array>;
  readonly unknown: Type<unknown>;
  literal<const Values extends (string | number | boolean)[]>(...values: Values): Type<Values[number]>;
  /** Takes null, and nothing at all, for null. */
  nullable<T>(inner: Type<T>): Type<T | null>;
  optional<T>(inner: Type<T>): Type<T | undefined>;
  array<T>(inner: Type<T>): Type<T[]>;
  record<T>(inner: Type<T>): Type<Record<string, T>>;
  object<Fields extends Record<string, Type<any>>>(
    fields: Fields,
  ): Type<Simplify<{ [K in Exclude<keyof Fields, OptionalKeys<Fields>>]: Infer<Fields[K]> } & { [K in OptionalKeys<Fields>]?: Infer<Fields[K]> }>>;
  union<Types extends Type<any>[]>(...types: Types): Type<Infer<Types[number]>>;
  /** What is in a column of json or jsonb. */
  json<T = any>(inner?: Type<T>): Type<T>;
};
