// A value of every kind, from text and back.

import { type Infer, Json, type Param, Timestamp, type Tx, json, sql, t } from '@eventfabric/sdk';

/** A row of the table `written`, with all its values as text. */
export const Written = t.object({
  name: t.string,
  values: t.record(t.union(t.string, t.array(t.nullable(t.string)))),
});

/** How a kind of column comes from text, is read, and becomes text again (nothing where a value has several). */
interface Kind {
  parse(text: string): Param;
  show?(value: any): string;
}

const itself: Kind = { parse: (text) => text, show: (value) => value };
const integer: Kind = { parse: Number, show: String };

const KINDS: Record<string, Kind> = {
  bool: { parse: (text) => text === 'true', show: String },
  int16: integer,
  int32: integer,
  int64: { parse: BigInt, show: String },
  float32: { parse: Number },
  float64: { parse: Number },
  numeric: itself,
  text: itself,
  bytes: {
    parse: (text) => Uint8Array.from(text.match(/../g) ?? [], (byte) => parseInt(byte, 16)),
    show: (value: Uint8Array) => Array.from(value, (byte) => byte.toString(16).padStart(2, '0')).join(''),
  },
  uuid: itself,
  timestamptz: { parse: (text) => new Timestamp(BigInt(text)), show: (value: Timestamp) => value.micros.toString() },
  date: {
    parse: (text) => new Timestamp(BigInt(text) * 86_400_000_000n).toDateString(),
    show: (value: string) => (Timestamp.from(`${value}T00:00:00Z`).micros / 86_400_000_000n).toString(),
  },
  json: { parse: (text) => new Json(text) },
  mood: itself,
  span: itself,
};

const ARRAYS = ['bool', 'int16', 'int32', 'int64', 'float32', 'float64', 'numeric', 'text', 'bytes', 'uuid', 'timestamptz', 'date', 'json'];
const COLUMNS = [...Object.keys(KINDS), ...ARRAYS.map((kind) => `${kind}_array`)];
const kindOf = (column: string) => KINDS[column.replace('_array', '')];

/** Writes the row, reads it, and writes what was read. */
export function write({ name, values }: Infer<typeof Written>, tx: Tx) {
  const columns = COLUMNS.map((column) => `"${column}"`).join(', ');
  const places = COLUMNS.map((_, n) => `$${n + 2}`).join(', ');
  const insert = (table: string, row: Param[]) =>
    tx.run(sql.of(`INSERT INTO ${table} (name, ${columns}) VALUES ($1, ${places})`, [name, ...row]));

  insert('written', COLUMNS.map((column) => parse(column, values[column])));
  const read = tx.one(sql.of(`SELECT ${columns} FROM written WHERE name = $1`, [name]));
  insert('echoed', COLUMNS.map((column) => read[column]));

  const shown: Record<string, unknown> = {};
  for (const column of COLUMNS) {
    const { show } = kindOf(column);
    const value = read[column];
    if (show && value !== null) shown[column] = Array.isArray(value) ? value.map((item) => item === null ? null : show(item)) : show(value);
  }
  tx.run(sql`INSERT INTO shown (name, shown) VALUES (${name}, ${json(shown)})`);
}

function parse(column: string, text: string | (string | null)[] | undefined): Param {
  const { parse } = kindOf(column);
  if (text === undefined) return null;
  return Array.isArray(text) ? text.map((item) => (item === null ? null : parse(item))) : parse(text);
}
