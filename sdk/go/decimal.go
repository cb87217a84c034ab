package eventfabric

import (
	"math/big"
	"strconv"
	"strings"
)

// decimal is a number with `scale` digits after its point. Without digits it is NaN or an infinity, by its name.
type decimal struct {
	digits *big.Int
	scale  int
	name   string
}

// Exponents beyond this are none of PostgreSQL's.
const maxExponent = 20_000

// decimalOf reads a numeric or an integer.
func decimalOf(value any) (decimal, bool) {
	if number, ok := integer(value); ok {
		return decimal{digits: big.NewInt(number)}, true
	}
	text, ok := value.(Numeric)
	if !ok {
		return decimal{}, false
	}
	switch text {
	case "NaN", "Infinity", "-Infinity":
		return decimal{name: string(text)}, true
	}
	mantissa, exponent := string(text), 0
	if at := strings.IndexAny(mantissa, "eE"); at >= 0 {
		var err error
		if exponent, err = strconv.Atoi(mantissa[at+1:]); err != nil || exponent > maxExponent || exponent < -maxExponent {
			return decimal{}, false
		}
		mantissa = mantissa[:at]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if strings.TrimLeft(whole, "+-")+fraction == "" || strings.ContainsAny(fraction, "+-") {
		return decimal{}, false
	}
	digits, ok := new(big.Int).SetString(whole+fraction, 10)
	if !ok {
		return decimal{}, false
	}
	d := decimal{digits: digits, scale: len(fraction) - exponent}
	return d.scaled(max(0, d.scale)), true
}

// scaled has as many digits after the point, or more than it had.
func (d decimal) scaled(scale int) decimal {
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale-d.scale)), nil)
	return decimal{digits: power.Mul(power, d.digits), scale: scale}
}

// plus adds as PostgreSQL does: with the digits after the point of the one that has more.
func (d decimal) plus(other decimal) decimal {
	switch {
	case d.name == "" && other.name == "":
		scale := max(d.scale, other.scale)
		sum := d.scaled(scale)
		sum.digits.Add(sum.digits, other.scaled(scale).digits)
		return sum
	case d.name == "" || d.name == other.name:
		return other
	case other.name == "":
		return d
	}
	return decimal{name: "NaN"}
}

func (d decimal) numeric() Numeric {
	if d.name != "" {
		return Numeric(d.name)
	}
	text, sign := d.digits.String(), ""
	if d.digits.Sign() < 0 {
		text, sign = text[1:], "-"
	}
	if d.scale == 0 {
		return Numeric(sign + text)
	}
	if missing := d.scale + 1 - len(text); missing > 0 {
		text = strings.Repeat("0", missing) + text
	}
	point := len(text) - d.scale
	return Numeric(sign + text[:point] + "." + text[point:])
}
