package xmpps2s

import (
	"crypto/tls"

	"fedlab/gateway/translate"
)

// Proof says what a stream is worth for a pair of domains.
type Proof struct {
	By  string // dialback, dialback in TLS, SASL EXTERNAL; empty without a stream
	TLS string // the version; empty in clear. With " direct" behind it TLS came before XML (XEP-0368)
}

func (p Proof) String() string {
	if p.TLS == "" {
		return p.By + ", in clear"
	}
	return p.By + ", " + p.TLS
}

// proof says what proved a stream on which everything else was, or is, proved by dialback.
func (st *stream) proof(external bool) Proof {
	p := Proof{By: "dialback"}
	if st.secure {
		p = Proof{By: "dialback in TLS", TLS: tls.VersionName(st.peerCert.Version)}
		if st.direct {
			p.TLS += " direct"
		}
	}
	if external {
		p.By = "SASL EXTERNAL"
	}
	return p
}

// proofFor is the proof that a link's stream has for its pair. On a stream of the peer's SASL proves the domains of the header alone.
func (st *stream) proofFor(p pair) Proof {
	external := st.proven
	if in := st.peersUse; in != nil && in.opener == (pair{}) {
		local, err := translate.ParseDomain(st.peers.to)
		external = external && err == nil && pair{in.sender, local} == p.reversed()
	}
	return st.proof(external)
}
