// Made by `eventfabric types --lang typescript`.

/** The data of the newest version of each event, by its type. */
export type Events = {
  "Account.Opened": AccountOpened;
  MoneyDeposited: MoneyDeposited;
  MoneyDepositedLinesItem: MoneyDepositedLinesItem;
  Option: Option2;
};

/** The data of Account.Opened, version 1. */
export type AccountOpenedV1 = {
  /** A whole number. */
  cents: number;
  owner: string;
};

/** The data of Account.Opened, version 2. */
export type AccountOpened = {
  /** A time, RFC 3339. */
  at: string;
  /** A UUID. */
  id: string;
  /** A whole number, in some events larger than a number holds exactly. */
  limit?: number;
  owner: AccountOpenedOwner;
  tags: Array<string | null>;
};

/** A part of the data of an event. */
export type AccountOpenedOwner = {
  /** A date: YYYY-MM-DD. */
  born: string;
  "middle-name": string | null;
  name: string;
};

/** The data of MoneyDeposited, version 1. */
export type MoneyDeposited = {
  /** A whole number. */
  cents: number;
  class?: boolean;
  lines: Array<MoneyDepositedLinesItem2>;
  note: unknown;
  rate: number;
};

/** A part of the data of an event. */
export type MoneyDepositedLinesItem2 = {
  /** A whole number. */
  count: number;
  price?: number;
  sku: string;
};

/** The data of MoneyDepositedLinesItem, version 1. */
export type MoneyDepositedLinesItem = {
};

/** The data of Option, version 1. */
export type Option2 = {
  "2nd": string;
  /** A whole number. */
  aB: number;
  /** A whole number. */
  a_b: number;
  /** A whole number. */
  "a`b": number;
  any: unknown;
  class: string;
  type_: Array<number>;
};
