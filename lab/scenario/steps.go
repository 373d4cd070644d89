package scenario

import "fedlab/internal/strictyaml"

// Step is one thing that is done or has to be seen. Exactly one of its keys is given.
type Step struct {
	Pos

	// What people do.
	Send        *Send         `yaml:"send"`
	Typing      *Typing       `yaml:"typing"`
	Close       *Close        `yaml:"close"`
	Presence    *Presence     `yaml:"presence"`
	Subscribe   *Subscription `yaml:"subscribe"`   // asks to see somebody
	Approve     *Subscription `yaml:"approve"`     // lets somebody see one
	Deny        *Subscription `yaml:"deny"`        // does not, or no longer
	Unsubscribe *Subscription `yaml:"unsubscribe"` // no longer wants to see somebody

	// What the users of crowds do.
	Arrive *Arrive `yaml:"arrive"`
	Leave  *Leave  `yaml:"leave"`
	Live   *Live   `yaml:"live"`

	// What happens to the deployment.
	Wait    *Wait    `yaml:"wait"`
	Cut     *Cut     `yaml:"cut"`
	Restore *Cut     `yaml:"restore"`
	Restart *Restart `yaml:"restart"`
	Stop    *Machine `yaml:"stop"`  // ends what runs on a host, for good or until it is started
	Kill    *Machine `yaml:"kill"`  // takes the power from a host: nobody is told
	Start   *Machine `yaml:"start"` // starts what was stopped or killed
	Change  *Change  `yaml:"change"`

	Stranger *Stranger `yaml:"stranger"`

	// What has to be seen.
	Expect   *Expect   `yaml:"expect"`
	Agree    *Agree    `yaml:"agree"`
	Peak     *Peak     `yaml:"peak"`
	Nslookup *Nslookup `yaml:"nslookup"`
	Telnet   *Telnet   `yaml:"telnet"`
	Netstat  *Netstat  `yaml:"netstat"`
	Doctor   *Doctor   `yaml:"doctor"`
}

// Send makes a user send a message, or a run of them.
type Send struct {
	From    string `yaml:"from" need:"true"`           // a user with a client
	To      string `yaml:"to" need:"true"`             // anybody, existing or not
	Body    string `yaml:"body" need:"true"`           // the text
	Count   int    `yaml:"count" min:"1" max:"100000"` // sends this many, with " 1", " 2", … behind the body; default one as it is
	Via     string `yaml:"via"`                        // the farm host that carries it, by name; default any
	Receipt bool   `yaml:"receipt"`                    // asks to be told of delivery
}

// Typing makes a user's client tell the other side of a conversation what the user does.
type Typing struct {
	From  string `yaml:"from" need:"true"`                                    // a user with a client
	To    string `yaml:"to" need:"true"`                                      // the other side
	State string `yaml:"state" oneof:"composing paused active inactive gone"` // default composing
}

// Close makes a user of the pool close the window of a conversation.
type Close struct {
	From string `yaml:"from" need:"true"` // a user of the pool
	To   string `yaml:"to" need:"true"`   // the other side
}

// Presence makes a user's client publish how the user can be reached.
type Presence struct {
	User   string `yaml:"user" need:"true"`                                     // a user with a client
	State  string `yaml:"state" oneof:"available away chat dnd xa unavailable"` // default available
	Status string `yaml:"status"`                                               // a line of text beside it
	Client string `yaml:"client"`                                               // which of a Gmail user's clients, by any name; default the first
}

// Subscription is about one user seeing another's presence.
type Subscription struct {
	From string `yaml:"from" need:"true"` // who does it
	To   string `yaml:"to" need:"true"`   // whom it concerns
}

// Arrive makes the users of the crowds come online. Users of the pool subscribe to their contacts, users of the farm show themselves
// and ask for theirs. Who was there before comes back as he was.
type Arrive struct {
	Domain string   `yaml:"domain"` // only the users of this one; default both crowds
	Over   Duration `yaml:"over"`   // spread evenly over this time; default all at once
}

// Leave makes the users of the crowds go offline.
type Leave struct {
	Domain string   `yaml:"domain"` // only the users of this one; default both crowds
	Over   Duration `yaml:"over"`   // spread evenly over this time; default all at once
}

// Live lets the users of the crowds live by a user model: with whom, when and how is drawn from the seed.
type Live struct {
	For      Duration `yaml:"for" need:"true"`             // for so long
	Domain   string   `yaml:"domain"`                      // whose users begin conversations; default both crowds'
	Sessions int      `yaml:"sessions" min:"1" max:"1000"` // conversations that each of them begins in an hour, with any contact; default none
	Messages int      `yaml:"messages" min:"1" max:"1000"` // in a conversation, by turns; default 1
	Pause    Duration `yaml:"pause"`                       // before each further one; default 20s
	Bytes    int      `yaml:"bytes" min:"1" max:"65536"`   // of a message; default as many as its number needs
	Changes  int      `yaml:"changes" min:"1" max:"1000"`  // how often in an hour each user of both crowds is available, away or busy instead; default never
}

// Cut makes a segment carry nothing, and restore makes it carry again.
type Cut struct {
	Segment string `yaml:"segment" need:"true"` // its name
}

// Machine is a host on which something runs.
type Machine struct {
	Host string `yaml:"host" need:"true"` // one that runs a gateway, a fake or a name server
}

// Restart ends what runs on a host and starts it again.
type Restart struct {
	Host  string   `yaml:"host" need:"true"` // one that runs a gateway, a fake or a name server
	After Duration `yaml:"after"`            // how long it is away; default 1s
}

// Change is a patch on the deployment while it runs. It can change what an operator can change on machines that run: rules,
// forwards and hairpin of routers, links, zones, certificates, hosts files, the Allow list, users, quirks, the gateway's
// configuration, and whether a host of the farm is down. A changed certificate or configuration restarts what uses it.
type Change struct {
	Pos
	Patch    *strictyaml.Node
	Deployed *Topology // the deployment with this and all changes before it
}

// Stranger makes somebody on a host do an XMPP server harm, or try to. The attempt goes on beside the steps that follow; what the
// server does about it is judged when they are done.
type Stranger struct {
	From    string   `yaml:"from" need:"true"`                                                                                                                                                                                                                                                                                // the host on which the stranger sits
	To      string   `yaml:"to" need:"true"`                                                                                                                                                                                                                                                                                  // host:port of the server
	Try     string   `yaml:"try" need:"true" oneof:"forged-from forged-key forged-result forged-verify forged-success flood-connections flood-keys flood-messages not-xml tls-at-once random-bytes invalid-utf8 malformed entity-bomb comment stream-error giant-stanza giant-attribute giant-header deep slow-drip silence"` // what is tried
	As      string   `yaml:"as"`                                                                                                                                                                                                                                                                                              // the user that the stranger would like to be; default bob@gmail.com
	Victim  string   `yaml:"victim"`                                                                                                                                                                                                                                                                                          // whom the stranger would like to write to; default alice@contoso.com
	Version string   `yaml:"version" oneof:"none 1.0"`                                                                                                                                                                                                                                                                        // what the stranger's stream headers say; default none
	Count   int      `yaml:"count" min:"1" max:"100000"`                                                                                                                                                                                                                                                                      // of a flood: how many connections or elements; default 200
	Ends    string   `yaml:"ends" need:"true"`                                                                                                                                                                                                                                                                                // what the server has to do: "closed", "open" to the end of the stranger's patience, or the condition of its stream error
	Within  Duration `yaml:"within"`                                                                                                                                                                                                                                                                                          // the stranger's patience; default 2m
}

// Expect waits until a user's client shows something: a message, an error, or one of the others.
type Expect struct {
	At           string          `yaml:"at" need:"true"`                                                     // the user whose client shows it
	From         string          `yaml:"from"`                                                               // whom the client shows it comes from; default anybody
	Body         string          `yaml:"body"`                                                               // the message shown; with error or receipt: the message that it is about
	Count        int             `yaml:"count" min:"1" max:"100000"`                                         // this many, with " 1", " 2", … behind the body, in this order
	Error        *ExpectError    `yaml:"error"`                                                              // a message of the user's could not be delivered
	Typing       string          `yaml:"typing" oneof:"composing paused active inactive gone"`               // what the other one does
	Presence     *ExpectPresence `yaml:"presence"`                                                           // how the other one can be reached
	Subscription string          `yaml:"subscription" oneof:"subscribe subscribed unsubscribe unsubscribed"` // a question, or its answer
	Receipt      bool            `yaml:"receipt"`                                                            // a message of the user's was delivered
	Never        bool            `yaml:"never"`                                                              // it must not be shown, for as long as within says
	Within       Duration        `yaml:"within"`                                                             // virtual time; default 10s
}

// Agree waits until what the clients of the crowds show is true: every message that was sent has been shown or returned, and who is
// online sees each contact as the contact is. That a message is shown once and in order is held anyway.
type Agree struct {
	About    string   `yaml:"about" oneof:"messages presence"` // only this; default both
	Returned int      `yaml:"returned" min:"1"`                // how many messages of all may have been returned; default none
	Within   Duration `yaml:"within"`                          // virtual time; default 10s
}

// Peak looks how many messages of one sort the fake on a host has received since the last peak, or since the beginning.
type Peak struct {
	At    string `yaml:"at" need:"true"`           // the host of the fake
	Of    string `yaml:"of" need:"true"`           // the sort: a SIP method or status, such as SUBSCRIBE or 481; of XMPP the element, such as presence
	Total int    `yaml:"total" min:"1"`            // at least so many; default 1
	Most  int    `yaml:"most" need:"true" min:"1"` // at most so many in any second
}

// ExpectError is how the client is told. An empty one accepts any error. The conditions are those of RFC 6120 §8.3.3.
type ExpectError struct {
	Condition string `yaml:"condition" oneof:"bad-request conflict feature-not-implemented forbidden gone internal-server-error item-not-found jid-malformed not-acceptable not-allowed not-authorized policy-violation recipient-unavailable redirect registration-required remote-server-not-found remote-server-timeout resource-constraint service-unavailable subscription-required undefined-condition unexpected-request"` // what an XMPP client shows
	Code      int    `yaml:"code" min:"300" max:"699"`                                                                                                                                                                                                                                                                                                                                                                            // what a SIP client shows

	alone string // a code or condition that is not in braces, which is a mistake
}

// ExpectPresence is a presence that is shown. In YAML it is either the state alone or {state: …, status: …}.
type ExpectPresence struct {
	State  string `yaml:"state" need:"true" oneof:"available away chat dnd xa unavailable"` // as XMPP has it; "dnd" is a busy user, "xa" one who is away for long
	Status string `yaml:"status"`                                                           // default anything
}

// Wait lets virtual time pass.
type Wait struct{ Duration Duration }

// Nslookup asks a host's resolver and says what must come.
type Nslookup struct {
	On     string `yaml:"on" need:"true"`                          // the host on which it is asked
	Type   string `yaml:"type" oneof:"A AAAA SRV"`                 // A, AAAA or SRV; default A
	Name   string `yaml:"name" need:"true"`                        // what is asked for
	Answer Values `yaml:"answer"`                                  // in any order; zone-file text for SRV ("5 0 5269 xmpp-server.l.google.com.")
	Fails  string `yaml:"fails" oneof:"nxdomain servfail timeout"` // "nxdomain", "servfail", "timeout"
}

// Telnet tries a TCP connection from a host and says what must happen.
type Telnet struct {
	From   string   `yaml:"from" need:"true"`                                                // the host from which it is tried
	To     string   `yaml:"to" need:"true"`                                                  // host:port
	Result string   `yaml:"result" oneof:"connected refused timeout unreachable unresolved"` // connected (default), refused, timeout, unreachable, unresolved
	Within Duration `yaml:"within"`                                                          // how long to try; default 10s
}

// Netstat looks at a host's socket table for TCP sockets.
type Netstat struct {
	On    string `yaml:"on" need:"true"`                                                                                                        // the host
	Port  int    `yaml:"port" min:"1" max:"65535"`                                                                                              // local or remote port; default all
	Shows Values `yaml:"shows" oneof:"LISTENING SYN_SENT SYN_RECEIVED ESTABLISHED FIN_WAIT_1 FIN_WAIT_2 CLOSE_WAIT CLOSING LAST_ACK TIME_WAIT"` // states that must be there
	None  Values `yaml:"none" oneof:"LISTENING SYN_SENT SYN_RECEIVED ESTABLISHED FIN_WAIT_1 FIN_WAIT_2 CLOSE_WAIT CLOSING LAST_ACK TIME_WAIT"`  // states that must not be there
}

// Doctor runs the doctor in the middle of a scenario and says exactly what it has to find.
type Doctor struct {
	From     string     `yaml:"from" oneof:"gateway edge outside"` // vantage point; default all three
	Findings []Expected `yaml:"findings"`                          // exactly these; none: nothing is found
}
