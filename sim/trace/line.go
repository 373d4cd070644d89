package trace

import (
	"encoding/json"
	"time"
)

// line is an event as one line of JSON, for a fake that runs alone and for whoever drives it.
type line struct {
	Seq       int       `json:"seq,omitempty"`
	At        time.Time `json:"at,omitzero"`
	Layer     Layer     `json:"layer"`
	Kind      string    `json:"kind"`
	Host      string    `json:"host,omitempty"`
	From      string    `json:"from,omitempty"`
	To        string    `json:"to,omitempty"`
	Conn      string    `json:"conn,omitempty"`
	Summary   string    `json:"summary,omitempty"`
	Data      []byte    `json:"data,omitempty"` // base64
	Type      ItemType  `json:"type,omitempty"`
	ID        string    `json:"id,omitempty"`
	Body      string    `json:"body,omitempty"`
	Condition string    `json:"condition,omitempty"`
	Code      int       `json:"code,omitempty"`
	State     string    `json:"state,omitempty"`
}

// MarshalJSON writes the event with its item in one object. UnmarshalJSON reads it back as it was.
func (e Event) MarshalJSON() ([]byte, error) {
	return json.Marshal(line{
		Seq: e.Seq, At: e.At, Layer: e.Layer, Kind: e.Kind, Host: e.Host, From: e.From, To: e.To, Conn: e.Conn, Summary: e.Summary, Data: e.Data,
		Type: e.Item.Type, ID: e.Item.ID, Body: e.Item.Body, Condition: e.Item.Condition, Code: e.Item.Code, State: e.Item.State,
	})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (e *Event) UnmarshalJSON(data []byte) error {
	var l line
	if err := json.Unmarshal(data, &l); err != nil {
		return err
	}
	*e = Event{
		Seq: l.Seq, At: l.At, Layer: l.Layer, Kind: l.Kind, Host: l.Host, From: l.From, To: l.To, Conn: l.Conn, Summary: l.Summary, Data: l.Data,
		Item: Item{Type: l.Type, ID: l.ID, Body: l.Body, Condition: l.Condition, Code: l.Code, State: l.State},
	}
	return nil
}
