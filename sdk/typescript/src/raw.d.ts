// The contract as the bindings of a component have it, and what the SDK's own modules share.
import type { Query } from './query.js';
import type { FailureKind, Migration, Param, Schema, SqlError } from '../types/index.js';

export type { FailureKind, LogLevel, Migration, Param, Row, Schema, SqlError, SqlValue } from '../types/index.js';

type Items<T> = (T | undefined)[];

export type RawValue =
  | { tag: 'null'; val?: undefined }
  | { tag: 'boolean'; val: boolean }
  | { tag: 'int16' | 'int32' | 'float32' | 'float64' | 'date'; val: number }
  | { tag: 'int64' | 'timestamptz'; val: bigint }
  | { tag: 'numeric' | 'text' | 'uuid' | 'json'; val: string }
  | { tag: 'bytes'; val: Uint8Array }
  | { tag: 'bool-array'; val: Items<boolean> }
  | { tag: 'int16-array' | 'int32-array' | 'float32-array' | 'float64-array' | 'date-array'; val: Items<number> }
  | { tag: 'int64-array' | 'timestamptz-array'; val: Items<bigint> }
  | { tag: 'numeric-array' | 'text-array' | 'uuid-array' | 'json-array'; val: Items<string> }
  | { tag: 'bytes-array'; val: Items<Uint8Array> }
  | { tag: 'other'; val: [type: string, text: string] };

export interface RawEvent {
  position: bigint;
  id: string;
  tenant: string;
  aggregate: string;
  aggregateId: string;
  version: number;
  eventType: string;
  schemaVersion: number;
  payload: string;
  occurredAt: bigint;
  correlationId: string | undefined;
  causationId: string | undefined;
}

export interface RawDescription {
  name: string;
  text: string;
  mode: 'inline' | 'catch-up' | 'async';
  topics: { tag: 'all' } | { tag: 'include' | 'exclude'; val: string[] };
  eventTypes: readonly string[];
  migrations: readonly Migration[];
}

export interface RawFailure {
  index: number | undefined;
  kind: FailureKind;
  message: string;
}

export interface RawCall {
  statement: number;
  params: RawValue[];
}

export interface RawRows {
  columns: string[];
  rows: RawValue[][];
}

/** What carries out statements: the host in a component, a double in tests. Failures are thrown, with the error in `payload`. */
export interface Backend {
  execute(statement: string, params: RawValue[]): bigint;
  query(statement: string, params: RawValue[]): RawRows;
  executeBatch(statements: string[], calls: RawCall[]): unknown;
}

export type ParameterType = 'boolean' | 'int64' | 'float64' | 'numeric' | 'text' | 'uuid' | 'timestamptz' | 'date';

export interface RawParameter {
  name: string;
  text: string;
  type: ParameterType;
  required: boolean;
}

export interface RawQuery {
  name: string;
  text: string;
  parameters: RawParameter[];
  perTenant: boolean;
}

export interface RawRequest {
  name: string;
  tenant: string;
  parameters: [name: string, value: RawValue][];
}

export interface RawPage {
  events: RawEvent[];
  version: number;
  more: boolean;
}

export type RawExpected = { tag: 'any' | 'none' } | { tag: 'exact'; val: number };

export interface RawNewEvent {
  eventType: string;
  schemaVersion: number;
  payload: string;
  topic: string | undefined;
}

export type RawMethod = 'get' | 'head' | 'post' | 'put' | 'patch' | 'delete';

export interface RawOutgoing {
  method: RawMethod;
  url: string;
  headers: [name: string, value: string][];
  body: Uint8Array;
  timeoutMs: number | undefined;
}

export interface RawResponse {
  status: number;
  headers: [name: string, value: string][];
  body: Uint8Array;
}

/** What `defineProjection` takes, without the types of its events. */
export interface Definition {
  name: string;
  text?: string;
  mode?: 'inline' | 'catch-up' | 'async';
  topics?: { include?: readonly string[]; exclude?: readonly string[] };
  events?: Record<string, Schema<any>>;
  types?: readonly string[];
  upcast?: Record<string, Record<number, (payload: any) => Record<string, unknown>>>;
  migrations?: string | readonly Migration[];
  on?: Record<string, (event: any, tx: any) => unknown>;
  batch?(events: any[], tx: any): unknown;
  queries?: Record<string, Query>;
}
