package googletalk

import (
	"fmt"
	"time"

	"fedlab/sim/trace"
)

// header is what a stream header says.
type header struct {
	from, to, id, version string
	dialback              bool // the prefix db is declared
	proved                bool // SASL has proved our domain: no dialback is needed
}

// writeHeader sends the farm's stream header. The farm of 2010 has no version in it, and of the attributes only id is certain
// to be there; version is "" but for a partner. (processone/ejabberd issues 1942 and 1618: no version; order and quotes as in
// the client streams of the time)
func (s *stream) writeHeader(from, to, id, version string) {
	if s.boot.machine.bare {
		from, to = "", ""
	}
	s.send(frame{data: s.boot.machine.style.header(from, to, id, version), summary: headerSummary(from, to, version)})
}

func headerSummary(from, to, version string) string {
	s := "stream"
	if from != "" || to != "" {
		s += " " + from + " > " + to
	}
	if version != "" {
		s += " version " + version
	}
	return s
}

// readHeader reads and records the peer's header. Name spaces that make the stream unusable are an xmlError.
func (s *stream) readHeader(limit time.Duration) (header, *element, error) {
	s.conn.SetReadDeadline(time.Now().Add(limit))
	e, err := s.in.header()
	if err != nil {
		return header{}, nil, err
	}
	s.conn.SetReadDeadline(time.Time{})
	h := header{
		from: foldDomain(e.get("from")), to: foldDomain(e.get("to")), id: e.get("id"), version: e.get("version"),
		dialback: s.in.declares("db", nsDialback),
	}
	s.record(trace.Received, headerSummary(h.from, h.to, h.version), e.raw)
	switch {
	case e.local != "stream":
		return h, e, &xmlError{"bad-format", fmt.Sprintf("the stream begins with <%s>", e.local)}
	case e.space != nsStream:
		return h, e, &xmlError{"invalid-namespace", fmt.Sprintf("the stream's name space is %q", e.space)}
	case s.in.scopes[1][""] != nsServer:
		return h, e, &xmlError{"invalid-namespace", fmt.Sprintf("the content's name space is %q", s.in.scopes[1][""])}
	}
	if e.prefix != "stream" {
		// RFC 6120 §4.8.5: a peer may accept only this one.
		s.unexpected(e.raw, "the stream's prefix is %q, not stream", e.prefix)
	}
	if !h.dialback {
		s.unexpected(e.raw, "the header does not declare xmlns:db='%s'", nsDialback)
	}
	return h, e, nil
}
