package doctor

import (
	"fmt"
	"net/netip"
	"time"
)

// callers is what a running gateway's status says about the connections that its next hops make.
type callers struct {
	Breaks []silence `json:"breaks"`
	Links  []struct {
		Accepted int `json:"accepted"`
	} `json:"links"`
	LastRefusal struct {
		At            time.Time `json:"at"`
		From          string    `json:"from"`
		Error         string    `json:"error"`
		NoCertificate bool      `json:"no_certificate"`
	} `json:"last_refusal"`
}

// judgeCallers finds an Edge to which no certificate is assigned: it takes the gateway's connections, and its own are refused.
//
// Strangers call without a certificate as well, so it counts only from the inside and while no Edge has called in successfully; and
// only from before this examination, for the doctor may be running on the Edge too.
func (x *exam) judgeCallers(c callers) {
	r := c.LastRefusal
	from, err := netip.ParseAddrPort(r.From)
	if err != nil || !r.NoCertificate || !isPrivate(from.Addr().Unmap()) || time.Since(r.At) > recent || !r.At.Before(x.began) {
		return
	}
	for _, l := range c.Links {
		if l.Accepted > 0 {
			return
		}
	}
	x.find("tls.no-client-certificate", from.Addr().String(), fmt.Sprintf("%s called and was refused, last at %s: %s", from.Addr(), day(r.At), r.Error))
}
