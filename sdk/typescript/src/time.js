const DAY = 86_400_000_000n;
const RFC3339 = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?([Zz]|[+-]\d{2}:\d{2})$/;

/** Microseconds since 1970-01-01T00:00:00Z. */
export class Timestamp {
  /** @param {bigint} micros */
  constructor(micros) {
    this.micros = micros;
  }

  /** @param {Date | string | Timestamp} from */
  static from(from) {
    if (from instanceof Timestamp) return from;
    if (from instanceof Date) {
      if (Number.isNaN(from.getTime())) throw new RangeError('an invalid Date');
      return new Timestamp(BigInt(from.getTime()) * 1000n);
    }
    const parts = RFC3339.exec(from);
    const day = parts ? daysOf(parts[1]) : undefined;
    if (!parts || day === undefined || +parts[2] > 23 || +parts[3] > 59 || +parts[4] > 60) {
      throw new RangeError(`\`${from}\` is not a time such as 2013-01-01T10:15:00Z`);
    }
    const [, , hour, minute, second, fraction = '', zone] = parts;
    let offset = 0;
    if (zone.length > 1) offset = (+zone.slice(1, 3) * 60 + +zone.slice(4)) * (zone[0] === '-' ? -1 : 1);
    const seconds = day * 86_400 + (+hour * 60 + +minute - offset) * 60 + +second;
    // Digits past the microsecond are cut off, as PostgreSQL cannot hold them.
    return new Timestamp(BigInt(seconds) * 1_000_000n + BigInt(fraction.padEnd(6, '0').slice(0, 6)));
  }

  /** To the millisecond, rounded down. */
  toDate() {
    return new Date(Number(floorDiv(this.micros, 1000n)));
  }

  /** The day in UTC, such as `2013-01-01`. */
  toDateString() {
    return dateOf(Number(floorDiv(this.micros, DAY)));
  }

  toString() {
    const micros = this.micros - floorDiv(this.micros, DAY) * DAY;
    const two = (/** @type {bigint} */ n) => n.toString().padStart(2, '0');
    const seconds = micros / 1_000_000n;
    const clock = [seconds / 3600n, (seconds / 60n) % 60n, seconds % 60n].map(two).join(':');
    const fraction = micros % 1_000_000n;
    const rest = fraction ? `.${fraction.toString().padStart(6, '0')}` : '';
    return `${this.toDateString()}T${clock}${rest}Z`;
  }

  toJSON() {
    return this.toString();
  }
}

function floorDiv(/** @type {bigint} */ a, /** @type {bigint} */ b) {
  const whole = a / b;
  return a % b < 0n ? whole - 1n : whole;
}

/** Days since 1970 as the day that PostgreSQL and people write (Hinnant's algorithm). */
export function dateOf(/** @type {number} */ since1970) {
  const days = since1970 + 719_468;
  const era = Math.floor(days / 146_097);
  const ofEra = days - era * 146_097;
  const year =
    Math.floor((ofEra - Math.floor(ofEra / 1_460) + Math.floor(ofEra / 36_524) - Math.floor(ofEra / 146_096)) / 365);
  const ofYear = ofEra - (365 * year + Math.floor(year / 4) - Math.floor(year / 100));
  const shifted = Math.floor((5 * ofYear + 2) / 153);
  const day = ofYear - Math.floor((153 * shifted + 2) / 5) + 1;
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  const full = year + era * 400 + (month <= 2 ? 1 : 0);
  const pad = (/** @type {number} */ n, /** @type {number} */ width) => String(Math.abs(n)).padStart(width, '0');
  const sign = full < 0 ? '-' : full > 9999 ? '+' : '';
  return `${sign}${pad(full, 4)}-${pad(month, 2)}-${pad(day, 2)}`;
}

/** Days since 1970 of a day such as `2013-01-01`, or nothing where there is no such day. */
export function daysOf(/** @type {string} */ text) {
  const days = new Date(`${text}T00:00:00Z`).getTime() / 86_400_000;
  return dateOf(days) === text ? days : undefined;
}

/** Whether a text is a day such as `2013-01-01`. */
export function isDate(/** @type {string} */ text) {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && daysOf(text) !== undefined;
}
