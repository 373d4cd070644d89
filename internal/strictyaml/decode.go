package strictyaml

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// Unmarshaler is a type that reads itself from a node. It reports its mistakes to d, with d.At and d.Unknown, and decodes
// parts with d.Decode. Its receiver is a pointer.
type Unmarshaler interface {
	UnmarshalNode(d *Decoder, n *Node)
}

// Placed is a struct that wants to know where it stands. It is told before its fields are decoded.
type Placed interface {
	SetPos(Pos)
}

// Decoder is one pass of Decode. It is the List that the mistakes go to.
type Decoder struct {
	*List
	path []string
	tag  reflect.StructTag // of the field that an Unmarshaler stands in
}

// Decode fills *into, which is a pointer, from n. Mistakes go to l; what they concern stays as it was. Null leaves pointers,
// maps and lists empty and is a mistake everywhere else. A *Node is set to the node itself, whatever it is.
func Decode(n *Node, into any, l *List) {
	(&Decoder{List: l}).Decode(n, into)
}

// Decode is for Unmarshalers: it fills *into from n as the function of the same name does. The tags of the field that the
// Unmarshaler stands in hold for *into.
func (d *Decoder) Decode(n *Node, into any) {
	d.value(n, reflect.ValueOf(into).Elem(), d.tag)
}

// What is the key that is being decoded, for messages; "this" at the top.
func (d *Decoder) What() string {
	if len(d.path) == 0 {
		return "this"
	}
	return d.path[len(d.path)-1]
}

// Expect reports that n is not of a kind and returns whether it is.
func (d *Decoder) Expect(n *Node, kind Kind) bool {
	if n.Kind == kind {
		return true
	}
	m := d.At(n, "%s has to be %s, not %s", d.What(), kind, n.Kind)
	if kind == Sequence && n.Kind != Null {
		m.Message += "; begin each of its entries with a dash"
	}
	if kind == Sequence && n.Kind == Scalar {
		m.Suggestion = fmt.Sprintf("[%s]", clip(n.Text))
	}
	return false
}

func (d *Decoder) within(key string, decode func()) {
	d.path = append(d.path, clip(key))
	decode()
	d.path = d.path[:len(d.path)-1]
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	nodeType     = reflect.TypeFor[*Node]()
)

func (d *Decoder) value(n *Node, v reflect.Value, tag reflect.StructTag) {
	if v.Type() == nodeType {
		v.Set(reflect.ValueOf(n))
		return
	}
	switch own := v.Addr().Interface().(type) {
	case Unmarshaler:
		outer := d.tag
		d.tag = tag
		own.UnmarshalNode(d, n)
		d.tag = outer
		return
	case encoding.TextUnmarshaler:
		if d.Expect(n, Scalar) {
			if err := own.UnmarshalText([]byte(n.Text)); err != nil {
				d.At(n, "%s: %q is not %s", d.What(), clip(n.Text), describe(v.Type()))
			}
		}
		return
	}
	if v.Type() == durationType {
		d.duration(n, v)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if n.Kind != Null {
			fresh := reflect.New(v.Type().Elem())
			d.value(n, fresh.Elem(), tag)
			v.Set(fresh)
		}
	case reflect.Struct:
		d.structure(n, v)
	case reflect.Map:
		d.mapping(n, v, tag)
	case reflect.Slice:
		d.slice(n, v, tag)
	case reflect.String:
		d.text(n, v, tag)
	case reflect.Bool:
		d.boolean(n, v)
	case reflect.Int, reflect.Int64, reflect.Uint64, reflect.Uint16:
		d.integer(n, v, tag)
	case reflect.Float64:
		d.float(n, v, tag)
	default:
		panic("strictyaml: cannot decode into " + v.Type().String())
	}
}

// describe names a type in the words of those who write files.
func describe(t reflect.Type) string {
	switch t.String() {
	case "netip.Addr":
		return "an IP address, such as 10.11.12.40"
	case "netip.Prefix":
		return "an address with its prefix length, such as 10.11.12.0/24"
	case "netip.AddrPort":
		return "an address with a port, such as 10.11.12.40:5269"
	}
	return "a " + t.Name()
}

func (d *Decoder) structure(n *Node, v reflect.Value) {
	if p, ok := v.Addr().Interface().(Placed); ok {
		p.SetPos(n.Pos())
	}
	fields := Fields(v.Type())
	known := make([]string, len(fields))
	for i, f := range fields {
		known[i] = f.Key
	}
	if n.Kind == Scalar {
		m := d.At(n, "%s has to be %s, not %s", d.What(), Mapping, n.Kind)
		if m.Suggestion = longForm(n, fields); m.Suggestion == "" {
			m.Message += "; its keys are " + enumerate(known)
		}
		return
	}
	if !d.Expect(n, Mapping) {
		return
	}
	var meant []string // keys that are there, but misspelt: one mistake each is enough
	for _, e := range n.Entries {
		i := slices.Index(known, e.Key.Text)
		if i < 0 {
			meant = append(meant, d.unknownKey(n, e, fields, known))
			continue
		}
		d.within(e.Key.Text, func() { d.value(e.Value, v.FieldByIndex(fields[i].Index), fields[i].Tag) })
	}
	for _, f := range fields {
		if f.Needed() && n.index(f.Key) < 0 && !slices.Contains(meant, f.Key) {
			d.At(n, "%s lacks the key %q", d.What(), f.Key)
		}
	}
}

// unknownKey reports a key of n that none of the fields has, and returns the one that is meant if that is clear. What a patch removes below
// an unknown key is no mistake of its own.
func (d *Decoder) unknownKey(n *Node, e Entry, fields []Field, known []string) (meant string) {
	d.forgetRemovals(e.Value)
	key := clip(e.Key.Text)
	if head, tail, colon := strings.Cut(key, ":"); colon && e.Value.Text == "" && slices.Contains(known, head) {
		d.At(e.Key, "unknown key %q; write a space behind the colon of a key", key).Suggestion = head + ": " + tail
		return head
	}
	if near := Nearest(e.Key.Text, known); near != "" {
		d.Unknown(e.Key, "key", key, known)
		return near
	}
	if outer := below(n, e.Key.Text, fields); outer != "" {
		d.At(e.Key, "unknown key %q; it belongs one level deeper, into %s", key, outer).Suggestion = fmt.Sprintf("%s: {%s: …}", outer, key)
		return ""
	}
	if i := n.index(e.Key.Text); i > 0 && e.Value.Kind == Null && e.Value.Text == "" && n.Entries[i-1].Key.line == e.Key.line {
		d.At(e.Key, "unknown key %q; a text with a comma in it has to stand in quotes", key)
		return ""
	}
	d.Unknown(e.Key, "key", key, known)
	return ""
}

// longForm is a mapping with a single value in it, where it is clear which key that is: the only one that is needed.
func longForm(n *Node, fields []Field) string {
	needed := ""
	for _, f := range fields {
		if f.Needed() && needed != "" {
			return ""
		}
		if f.Needed() {
			needed = f.Key
		}
	}
	if needed == "" {
		return ""
	}
	return fmt.Sprintf("{%s: %s}", needed, clip(n.Text))
}

// below is the field that is a mapping with this key in it: the only one of those that n has, or else the only one of all. Empty if there
// is none, or more.
func below(n *Node, key string, fields []Field) string {
	var all, given []string
	for _, f := range fields {
		t := f.Type
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || t == nodeType.Elem() {
			continue
		}
		if !slices.ContainsFunc(Fields(t), func(inner Field) bool { return inner.Key == key }) {
			continue
		}
		all = append(all, f.Key)
		if n.index(f.Key) >= 0 {
			given = append(given, f.Key)
		}
	}
	for _, found := range [][]string{given, all} {
		if len(found) == 1 {
			return found[0]
		}
	}
	return ""
}

// Field is a struct's field as it stands in files.
type Field struct {
	reflect.StructField
	Key string
}

// Needed reports whether the key has to be there.
func (f Field) Needed() bool { return f.Tag.Get("need") == "true" }

// OneOf is the texts that are allowed, or nil for any.
func (f Field) OneOf() []string { return strings.Fields(f.Tag.Get("oneof")) }

// Fields is the fields of a struct type that files can set: those with a yaml tag. A struct without any such tag belongs to a
// package that knows nothing of files; its exported fields are called as they are, in lower case and with underscores. The slice is shared: it must
// not be changed.
func Fields(t reflect.Type) []Field {
	if known, ok := fieldsOf.Load(t); ok {
		return known.([]Field)
	}
	fields := readFields(t)
	fieldsOf.Store(t, fields)
	return fields
}

// fieldsOf holds what Fields has read, by type: thousands of documents are decoded into the same few.
var fieldsOf sync.Map

func readFields(t reflect.Type) []Field {
	var tagged, exported []Field
	for i := range t.NumField() {
		f := t.Field(i)
		if key := f.Tag.Get("yaml"); key != "" {
			tagged = append(tagged, Field{f, key})
		}
		if f.IsExported() {
			exported = append(exported, Field{f, snake(f.Name)})
		}
	}
	if tagged == nil {
		return exported
	}
	return slices.DeleteFunc(tagged, func(f Field) bool { return f.Key == "-" })
}

// snake is a Go name in lower case with underscores: MinTLSVersion is min_tls_version.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if i > 0 && unicode.IsUpper(r) && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func (d *Decoder) mapping(n *Node, v reflect.Value, tag reflect.StructTag) {
	if n.Kind == Null || !d.Expect(n, Mapping) {
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(n.Entries))
	for _, e := range n.Entries {
		value := reflect.New(v.Type().Elem()).Elem()
		d.within(e.Key.Text, func() { d.value(e.Value, value, tag) })
		m.SetMapIndex(reflect.ValueOf(e.Key.Text).Convert(v.Type().Key()), value)
	}
	v.Set(m)
}

func (d *Decoder) slice(n *Node, v reflect.Value, tag reflect.StructTag) {
	if n.Kind == Null || !d.Expect(n, Sequence) {
		return
	}
	s := reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items))
	d.within("an entry of "+d.What(), func() {
		for i, item := range n.Items {
			d.value(item, s.Index(i), tag)
		}
	})
	v.Set(s)
}

func (d *Decoder) text(n *Node, v reflect.Value, tag reflect.StructTag) {
	if !d.Expect(n, Scalar) {
		return
	}
	if allowed := strings.Fields(tag.Get("oneof")); len(allowed) > 0 && !slices.Contains(allowed, n.Text) {
		d.Unknown(n, "value of "+d.What(), clip(n.Text), allowed)
		return
	}
	v.SetString(n.Text)
}

func (d *Decoder) boolean(n *Node, v reflect.Value) {
	if !d.Expect(n, Scalar) {
		return
	}
	if n.Quoted || n.Text != "true" && n.Text != "false" {
		m := d.At(n, "%s has to be true or false%s, not %q", d.What(), unquoted(n), clip(n.Text))
		switch strings.ToLower(n.Text) {
		case "yes", "on", "true", "y":
			m.Suggestion = "true"
		case "no", "off", "false", "n":
			m.Suggestion = "false"
		}
		return
	}
	v.SetBool(n.Text == "true")
}

// unquoted says what else is wrong with a number or truth value that stands in quotes.
func unquoted(n *Node) string {
	if n.Quoted {
		return " without quotes"
	}
	return ""
}

var (
	shortNumber   = regexp.MustCompile(`^([1-9][0-9]{0,8})([kmg])$`)
	wholeNumber   = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,18})$`)
	decimalNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?$`)
)

func (d *Decoder) integer(n *Node, v reflect.Value, tag reflect.StructTag) {
	if !d.Expect(n, Scalar) {
		return
	}
	number, err := strconv.ParseInt(n.Text, 10, 64)
	if n.Quoted || err != nil || !wholeNumber.MatchString(n.Text) {
		m := d.At(n, "%s has to be a whole number%s, not %q", d.What(), unquoted(n), clip(n.Text))
		if short := shortNumber.FindStringSubmatch(strings.ToLower(n.Text)); short != nil {
			m.Suggestion = short[1] + map[string]string{"k": "000", "m": "000000", "g": "000000000"}[short[2]]
		}
		return
	}
	if outside(tag, float64(number)) {
		d.At(n, "%s has to be %s, not %d", d.What(), bounds(tag), number)
		return
	}
	if v.CanInt() && !v.OverflowInt(number) {
		v.SetInt(number)
	} else if v.CanUint() && number >= 0 && !v.OverflowUint(uint64(number)) {
		v.SetUint(uint64(number))
	} else {
		d.At(n, "%s: %d is too large or too small", d.What(), number)
	}
}

func (d *Decoder) float(n *Node, v reflect.Value, tag reflect.StructTag) {
	if !d.Expect(n, Scalar) {
		return
	}
	number, err := strconv.ParseFloat(n.Text, 64)
	if n.Quoted || err != nil || !decimalNumber.MatchString(n.Text) {
		m := d.At(n, "%s has to be a number%s, not %q", d.What(), unquoted(n), clip(n.Text))
		if percent, err := strconv.ParseFloat(strings.TrimSuffix(n.Text, "%"), 64); err == nil && strings.HasSuffix(n.Text, "%") {
			m.Suggestion = strconv.FormatFloat(percent/100, 'g', 6, 64)
		}
		return
	}
	if outside(tag, number) {
		d.At(n, "%s has to be %s, not %s", d.What(), bounds(tag), n.Text)
		return
	}
	v.SetFloat(number)
}

func outside(tag reflect.StructTag, number float64) bool {
	low, errLow := strconv.ParseFloat(tag.Get("min"), 64)
	high, errHigh := strconv.ParseFloat(tag.Get("max"), 64)
	return errLow == nil && number < low || errHigh == nil && number > high
}

func bounds(tag reflect.StructTag) string {
	low, high := tag.Get("min"), tag.Get("max")
	switch {
	case low == "":
		return "at most " + high
	case high == "":
		return "at least " + low
	}
	return fmt.Sprintf("from %s to %s", low, high)
}

func (d *Decoder) duration(n *Node, v reflect.Value) {
	if duration, ok := d.Duration(n); ok {
		v.SetInt(int64(duration))
	}
}

// Duration reads a duration as Go writes it, for types that are one.
func (d *Decoder) Duration(n *Node) (time.Duration, bool) {
	if !d.Expect(n, Scalar) {
		return 0, false
	}
	duration, err := time.ParseDuration(n.Text)
	if err != nil {
		m := d.At(n, "%s: %q is not a duration; write a number with its unit, such as 500ms, 30s, 5m or 24h", d.What(), clip(n.Text))
		m.Suggestion = durationMeant(n.Text)
		return 0, false
	}
	return duration, true
}

var spokenDuration = regexp.MustCompile(`^(\d{1,6}) *([a-z]*)$`)

// durationMeant is what is probably meant by a number without a unit, or with one that Go does not know ("2 days"). Empty if that is not
// clear.
func durationMeant(text string) string {
	m := spokenDuration.FindStringSubmatch(strings.ToLower(text))
	if m == nil {
		return ""
	}
	number, err := strconv.Atoi(m[1])
	if err != nil {
		return ""
	}
	switch m[2] {
	case "", "s", "sec", "secs", "second", "seconds":
		return m[1] + "s"
	case "m", "min", "mins", "minute", "minutes":
		return m[1] + "m"
	case "h", "hour", "hours":
		return m[1] + "h"
	case "d", "day", "days":
		return strconv.Itoa(24*number) + "h"
	case "w", "week", "weeks":
		return strconv.Itoa(7*24*number) + "h"
	}
	return ""
}
