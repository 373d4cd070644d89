package ocsedge

import (
	"crypto/tls"
	"fmt"
	"time"
)

// Quirks are the points in which Edges, pools and clients differ, or on which the sources are silent. The zero value behaves as
// OCS 2007 R2, as far as is known. A field's comment says what a value other than zero does and what the evidence is.
type Quirks struct {
	// ServerHeader is the Server header of responses; default "RTC/3.5", the string of OCS 2007 R2. 3.0 is OCS 2007, 4.0 Lync
	// 2010, 5.0 Lync 2013, 6.0 Skype for Business 2015 (traces).
	ServerHeader string `yaml:"server_header"`

	// CloseOnRefusal closes the connection after a request that is refused for lack of trust. By default it stays open (trace
	// of Skype for Business).
	CloseOnRefusal bool `yaml:"close_on_refusal"`

	// UnlistedStatus answers requests From a domain that is not on the Allow list; default 504. That they are rejected is
	// documented, the code is not; 403 is the other candidate.
	UnlistedStatus int `yaml:"unlisted_status"`

	// ForeignStatus answers requests To a domain that is not the organisation's; default 404. Rejection is documented
	// (MSFT_SIPInternalDomain), the code is not; 403 is the other candidate.
	ForeignStatus int `yaml:"foreign_status"`

	// ChangedRouteStatus answers requests in a dialog whose Route set is not the one that was recorded; default 504 (trace, for
	// a foreign preloaded Route). ErrorId 1004 exists for it, with a code that is not documented; 481 is the other candidate.
	ChangedRouteStatus int `yaml:"changed_route_status"`

	// UsesAddresses sends requests in a dialog also to a Contact that holds an IP address. By default none ever arrives (trace
	// of a Lync server).
	UsesAddresses bool `yaml:"uses_addresses"`

	// TakesFirstText makes users take the text of an INVITE and say so (Supported: ms-text-format), as clients of Live
	// Communications Server 2005 do. Those of OCS 2007 and later wait for the MESSAGE (code).
	TakesFirstText bool `yaml:"takes_first_text"`

	// KeepsFirstText leaves the first text out of the INVITE (clients without Ms-Text-Format).
	KeepsFirstText bool `yaml:"keeps_first_text"`

	// EdgeRoute puts a Route that names the next hop on requests outside of dialogs, as the Edges of Lync do (trace). An OCS 2007
	// R2 Edge answers 504 to one that does not name the connection it came on; a peer pops the one that names itself.
	EdgeRoute bool `yaml:"edge_route"`

	// AssertsIdentity adds P-Asserted-Identity with the user's address and telephone number to INVITE (trace).
	AssertsIdentity bool `yaml:"asserts_identity"`

	// TypesFirst sends a typing INFO before the first MESSAGE of a session (trace).
	TypesFirst bool `yaml:"types_first"`

	// AnswerDelay is how long a user's client holds the 200 to an INVITE, from 0 to 60 s (ms-delayed-accept holds it 10 s; code).
	AnswerDelay time.Duration `yaml:"answer_delay"`

	// ResponseDelay makes the Edge slow: every answer to the peer is late by this.
	ResponseDelay time.Duration `yaml:"response_delay"`

	// Unavailable answers every new request of the peer with 503, and UnavailableFor says how long in Retry-After (seconds,
	// RFC 3261 §20.33); 0 leaves that header out.
	Unavailable    bool          `yaml:"unavailable"`
	UnavailableFor time.Duration `yaml:"unavailable_for"`

	// PageMode takes a MESSAGE outside of a dialog. By default it is refused with PageModeStatus (default 405): no source says
	// that OCS knows it; 481 is the other candidate.
	PageMode       bool `yaml:"page_mode"`
	PageModeStatus int  `yaml:"page_mode_status"`

	// SendsPages makes users send every text as a MESSAGE outside of a dialog, as plain SIP/SIMPLE clients do (RFC 3428).
	SendsPages bool `yaml:"sends_pages"`

	// Reports is what the users' clients say of texts that they were sent: "delivered", or "failed", and then the text is not shown. In a
	// session they name the text in their 200 (Message-Id), report on it in application/ms-imdn+xml, and read such reports: the
	// conference server does (MS-CONFIM §2.2, §3.3.2.5), of clients between two people it is not known. Outside of sessions they take
	// message/cpim and report on what it asks about (RFC 5438). By default no client reports anything, and message/cpim is refused.
	Reports string `yaml:"reports" oneof:"delivered failed"`

	// SessionIdle ends an IM session that has been silent for this long; default never. About ten minutes are remembered of
	// Communicator.
	SessionIdle time.Duration `yaml:"session_idle"`

	// MessageTimeout is how long a client waits for the answer to a MESSAGE; default 60 s (code).
	MessageTimeout time.Duration `yaml:"message_timeout"`

	// AsksFirst shows a new watcher nothing but "pending" until the user has approved, as Live Communications Server 2005 does.
	// With OCS 2007 and later he sees container 100 at once (inferred from the default membership).
	AsksFirst bool `yaml:"asks_first"`

	// RejectsBlocked tells a blocked watcher so (403, terminated;reason=rejected). By default the user looks off line to him.
	RejectsBlocked bool `yaml:"rejects_blocked"`

	// ShowsNotes shows watchers the user's note: they are in container 200 instead of 100.
	ShowsNotes bool `yaml:"shows_notes"`

	// CategoryList puts the batchSub body of OCS 2007 clients into SUBSCRIBE, with Require: adhoclist, categoryList (code;
	// whether it leaves the pool for a federated contact is not known).
	CategoryList bool `yaml:"category_list"`

	// WithoutExpires leaves Expires out of SUBSCRIBE (MS-PRES §4.11, example).
	WithoutExpires bool `yaml:"without_expires"`

	// Negotiate sends NEGOTIATE first on every connection that the Edge opens, and goes on without compression on any answer
	// but a 200 that grants it (MS-SIPCOMP; whether an Edge does so towards federated peers is not known).
	Negotiate bool `yaml:"negotiate"`

	// KeepAlive writes an empty line on every connection at this interval (MS-CONMGMT §3.4.5; between servers undocumented).
	KeepAlive time.Duration `yaml:"keep_alive"`

	// Probe sends OPTIONS on the connection to every next hop at this interval (trace of Lync).
	Probe time.Duration `yaml:"probe"`

	// MinTLS and MaxTLS bound the protocol versions (tls.VersionTLS10 …); default 1.0 to 1.2. What the time really had is 1.0.
	MinTLS uint16 `yaml:"min_tls"`
	MaxTLS uint16 `yaml:"max_tls"`

	// CipherSuites are the suites on offer up to TLS 1.2; default all that crypto/tls knows.
	CipherSuites []uint16 `yaml:"cipher_suites"`

	// WithoutCertificate sends no certificate on connections that the Edge opens: a certificate that is not assigned.
	WithoutCertificate bool `yaml:"without_certificate"`
}

func (q *Quirks) server() string { return or(q.ServerHeader, "RTC/3.5") }
func (q *Quirks) minTLS() uint16 { return or(q.MinTLS, tls.VersionTLS10) }
func (q *Quirks) maxTLS() uint16 { return or(q.MaxTLS, tls.VersionTLS12) }

// check finds values that make no sense.
func (q *Quirks) check() error {
	for name, d := range map[string]time.Duration{"AnswerDelay": q.AnswerDelay, "ResponseDelay": q.ResponseDelay, "UnavailableFor": q.UnavailableFor,
		"SessionIdle": q.SessionIdle, "MessageTimeout": q.MessageTimeout, "KeepAlive": q.KeepAlive, "Probe": q.Probe} {
		if d < 0 {
			return fmt.Errorf("ocsedge: quirk %s is %s; it cannot be negative", name, d)
		}
	}
	if q.AnswerDelay > answerTime {
		return fmt.Errorf("ocsedge: quirk AnswerDelay is %s; a client answers within %s or not at all", q.AnswerDelay, answerTime)
	}
	for name, status := range map[string]int{"UnlistedStatus": q.UnlistedStatus, "ForeignStatus": q.ForeignStatus,
		"ChangedRouteStatus": q.ChangedRouteStatus, "PageModeStatus": q.PageModeStatus} {
		if status != 0 && (status < 400 || reasons[status] == "") {
			return fmt.Errorf("ocsedge: quirk %s is %d, not a status that refuses and that an Edge sends", name, status)
		}
	}
	return nil
}

// or returns v, or the default if v is zero.
func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
