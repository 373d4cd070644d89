package doctor

import (
	"errors"
	"testing"
)

// An Edge on Windows says by an alert that it knows our certificate to be revoked; anything else that it ends the handshake with says less.
func TestToldThatRevoked(t *testing.T) {
	for said, want := range map[string]string{
		"remote error: tls: revoked certificate": "tls.revoked",
		"remote error: tls: bad certificate":     "tls.rejected",
	} {
		x := newExam(FromGateway, nil)
		x.rejected("sip.contoso.com:5061", errors.New(said), nil, nil)
		if found := x.result(); len(found) != 1 || found[0].Code != want {
			t.Errorf("%s: %+v", said, found)
		}
	}
}
