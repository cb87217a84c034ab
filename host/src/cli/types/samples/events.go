// Made by `eventfabric types --lang go`.

package main

import "time"

// The data of Account.Opened, version 1.
type AccountOpenedV1 struct {
	Cents int64  `json:"cents"`
	Owner string `json:"owner"`
}

// The data of Account.Opened, version 2.
type AccountOpened struct {
	At    time.Time          `json:"at"`
	Id    string             `json:"id"`
	Limit *uint64            `json:"limit,omitempty"`
	Owner AccountOpenedOwner `json:"owner"`
	Tags  []*string          `json:"tags"`
}

// A part of the data of an event.
type AccountOpenedOwner struct {
	Born       string  `json:"born"`
	MiddleName *string `json:"middle-name"`
	Name       string  `json:"name"`
}

// The data of MoneyDeposited, version 1.
type MoneyDeposited struct {
	Cents int64                      `json:"cents"`
	Class *bool                      `json:"class,omitempty"`
	Lines []MoneyDepositedLinesItem2 `json:"lines"`
	Note  any                        `json:"note"`
	Rate  float64                    `json:"rate"`
}

// A part of the data of an event.
type MoneyDepositedLinesItem2 struct {
	Count int64    `json:"count"`
	Price *float64 `json:"price,omitempty"`
	Sku   string   `json:"sku"`
}

// The data of MoneyDepositedLinesItem, version 1.
type MoneyDepositedLinesItem struct{}

// The data of Option, version 1.
type Option2 struct {
	X2nd  string    `json:"2nd"`
	AB    int64     `json:"aB"`
	AB_   int64     `json:"a_b"`
	Any   any       `json:"any"`
	Class string    `json:"class"`
	Type  []float64 `json:"type_"`
	// "a`b": no tag can name it
}
