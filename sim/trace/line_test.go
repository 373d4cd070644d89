package trace_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"fedlab/sim/trace"
)

// Every field survives, also one that is added to Event later.
func TestEventAsLine(t *testing.T) {
	var e trace.Event
	fill(t, reflect.ValueOf(&e).Elem())
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var back trace.Event
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(e, back) {
		t.Errorf("%s\nis read as %+v", data, back)
	}
}

func fill(t *testing.T, v reflect.Value) {
	for i := range v.NumField() {
		f := v.Field(i)
		switch f.Interface().(type) {
		case time.Time:
			f.Set(reflect.ValueOf(time.Date(2010, 1, 2, 3, 4, 5, 6, time.UTC)))
			continue
		case []byte:
			f.SetBytes([]byte{1, 0xff})
			continue
		}
		switch f.Kind() {
		case reflect.Int:
			f.SetInt(int64(i + 7))
		case reflect.String:
			f.SetString(v.Type().Field(i).Name)
		case reflect.Struct:
			fill(t, f)
		default:
			t.Fatalf("a field of kind %v", f.Kind())
		}
	}
}
